use std::sync::OnceLock;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{ListModel, Model, Sample};
use tinytorch::nn::{Flatten, Forward, Init, Module, Path, Visitor, VisitorMut};
use tinytorch::{Result, Tensor};

/// What an [`Impostor`] does instead of running its model.
#[derive(Clone)]
pub(crate) enum Instead {
    /// Runs the linear layers in this order.
    Order(Vec<usize>),
    /// Runs a float model.
    Float(Box<dyn Model>),
    /// Runs its model, and keeps the floats that its weights stand for from the first pass on.
    Cache(OnceLock<Vec<Tensor>>),
}

/// A model that has the parameters of another and does something else with them.
#[derive(Clone)]
pub(crate) struct Impostor {
    pub(crate) of: Box<dyn Model>,
    pub(crate) instead: Instead,
}

impl Impostor {
    pub(crate) fn boxed(of: Box<dyn Model>, instead: Instead) -> Box<dyn Model> {
        Box::new(Impostor { of, instead })
    }
}

impl Module for Impostor {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        self.of.visit(path, visitor);
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.of.visit_mut(path, visitor);
    }
}

impl ListModel for Impostor {
    fn forward_list(&self, inputs: &[Var], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let [input] = inputs else { panic!("{} inputs", inputs.len()) };
        let output = match &self.instead {
            Instead::Float(float) => float.forward(input, ctx),
            Instead::Order(order) => {
                let params = self.of.named_params();
                let param = |layer: usize, field: &str| {
                    let name = format!("layers.{layer}.{field}");
                    params.iter().find(|(other, _)| *other == name).map(|(_, param)| *param)
                };
                let mut x = Flatten.forward(input, ctx)?;
                for (i, &layer) in order.iter().enumerate() {
                    if i > 0 {
                        x = x.relu(ctx)?;
                    }
                    x = x.linear(param(layer, "weight").unwrap(), param(layer, "bias"), ctx)?;
                }
                Ok(x)
            }
            Instead::Cache(floats) => {
                floats.get_or_init(|| {
                    let params = self.of.named_params();
                    let weights = params.iter().filter_map(|(_, param)| param.int8());
                    weights.map(|weight| weight.dequantize().unwrap()).collect()
                });
                self.of.forward(input, ctx)
            }
        };
        Ok(vec![output?])
    }
}

impl Model for Impostor {
    fn kind(&self) -> &str {
        self.of.kind()
    }

    fn description(&self) -> Result<String> {
        self.of.description()
    }

    fn rebuild(&self, description: &str, init: &mut Init) -> Result<Box<dyn Model>> {
        self.of.rebuild(description, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        self.of.samples()
    }

    fn clone_box(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}
