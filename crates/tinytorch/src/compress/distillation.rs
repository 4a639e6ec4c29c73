//! A small model learns from a large one.

use super::CompressError;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::data::Batch;
use crate::loss::LossError;
use crate::nn::Forward;
use crate::train::{Classification, Objective, Outcome};

/// A training in which a small model, the student, learns from a large one, the teacher (Hinton et al.,
/// 2015): `alpha T^2 KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) CE(student, labels)`.
///
/// The temperature `T` shows how likely the teacher finds the other classes. The teacher only answers:
/// it is not trained, and may be int8.
///
/// ```
/// use tinytorch::{Tensor, compress::KnowledgeDistillation, nn::{Init, Linear}};
/// use tinytorch::{data::{DataLoader, TensorDataset}, optim::Adam, train::Trainer};
/// let teacher = Linear::new(2, 3, &mut Init::seed(0))?;
/// let mut student = Linear::new(2, 3, &mut Init::seed(1))?;
/// let labels = Tensor::from_vec(vec![0i64, 1, 2, 0], [4])?;
/// let loader = DataLoader::new(TensorDataset::new([Tensor::ones([4, 2])?, labels])?, 2)?;
/// let objective = KnowledgeDistillation::new(teacher, 4.0, 0.9)?;
/// Trainer::new(objective, Adam::new(0.01)).fit(&mut student, &loader, None, 1)?;
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KnowledgeDistillation<T> {
    teacher: T,
    temperature: f32,
    alpha: f32,
}

impl<T> KnowledgeDistillation<T> {
    /// With this temperature, and this share of the loss for the teacher's answers.
    ///
    /// # Errors
    /// [`LossError::Temperature`] unless the temperature is positive and finite,
    /// [`CompressError::Alpha`] for a share outside 0 to 1.
    pub fn new(teacher: T, temperature: f32, alpha: f32) -> Result<KnowledgeDistillation<T>> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(LossError::Temperature { temperature }.into());
        }
        if !(0.0..=1.0).contains(&alpha) {
            return Err(CompressError::Alpha { alpha }.into());
        }
        Ok(KnowledgeDistillation { teacher, temperature, alpha })
    }

    /// The teacher.
    pub fn teacher(&self) -> &T {
        &self.teacher
    }
}

impl<T: Forward<Output = Var>, S: Forward<Output = Var>> Objective<S> for KnowledgeDistillation<T> {
    fn outcome(&self, student: &S, batch: &Batch, ctx: &mut Ctx<'_>) -> Result<Outcome> {
        let inputs = batch.inputs().into();
        let answers = self.teacher.call(&inputs, &mut Ctx::eval())?;
        let logits = student.call(&inputs, ctx)?;
        let soft = logits.distillation_loss(answers.value(), self.temperature, ctx)?;
        let hard = logits.cross_entropy(batch.targets()?, ctx)?;
        let loss =
            soft.mul_scalar(self.alpha, ctx)?.add(&hard.mul_scalar(1.0 - self.alpha, ctx)?, ctx)?;
        Classification::judge(loss, &logits, batch)
    }
}
