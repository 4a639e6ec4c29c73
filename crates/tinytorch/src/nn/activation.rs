use super::{Forward, Module};
use crate::Result;
use crate::autograd::{Ctx, Var};

macro_rules! activation {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        $(#[$doc])*
        #[derive(Module, Clone, Copy, Debug)]
        pub struct $name;

        impl Forward for $name {
            fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
                input.$method(ctx)
            }
        }
    };
}

activation! {
    /// `max(x, 0)`.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{Forward, Relu}};
    /// let x = Tensor::from_vec(vec![-1.0, 2.0], [2])?;
    /// assert_eq!(Relu.forward(&x.into(), &mut Ctx::eval())?.value().to_vec::<f32>()?, [0.0, 2.0]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    Relu, relu
}
