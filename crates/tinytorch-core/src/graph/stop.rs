//! Work that somebody may want to stop.

use super::GraphError;
use crate::Result;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// Of the work that this thread does.
    static CURRENT: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Ends work from another thread: once it is [asked](Stop::ask), passes of the work end with
/// [`GraphError::Stopped`] before their next op.
///
/// ```
/// use tinytorch_core::{Tensor, autograd::{Ctx, Var}, graph::Stop};
/// let stop = Stop::default();
/// let x = Var::from(Tensor::ones([3])?);
/// let y = stop.during(|| {
///     stop.ask();
///     x.relu(&mut Ctx::eval())
/// });
/// assert!(y.is_err() && x.relu(&mut Ctx::eval()).is_ok());
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Wants the work ended.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Goes on, unless the work is to end.
    ///
    /// # Errors
    /// [`GraphError::Stopped`] if it is.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(GraphError::Stopped.into()),
            false => Ok(()),
        }
    }

    /// Does work that this may end: each pass that begins on this thread meanwhile, and each plan that is made.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let _before = Before(CURRENT.replace(Some(self.clone())));
        work()
    }

    /// What may end the work of this thread.
    pub(super) fn current() -> Option<Stop> {
        CURRENT.with_borrow(Clone::clone)
    }
}

/// What may end the work around this, put back when this ends, also by a panic.
struct Before(Option<Stop>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::autograd::{Ctx, Var};
    use crate::module::{Forward, Module, Path, Visitor, VisitorMut};
    use crate::plan::Plan;
    use crate::tensor::Tensor;

    /// Adds 1 many times, and asks for an end in the middle if it has one to ask.
    struct Ones(Option<Stop>);

    impl Module for Ones {
        fn visit<'a>(&'a self, _: &mut Path, _: &mut dyn Visitor<'a>) {}
        fn visit_mut<'a>(&'a mut self, _: &mut Path, _: &mut dyn VisitorMut<'a>) {}
    }

    impl Forward for Ones {
        type Output = Var;

        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            let x = x.relu(ctx)?;
            if let Some(stop) = &self.0 {
                stop.ask();
            }
            x.relu(ctx)
        }
    }

    fn is_stopped<T>(result: &Result<T>) -> bool {
        matches!(result, Err(Error::Graph(GraphError::Stopped)))
    }

    #[test]
    fn a_pass_ends_between_its_ops() {
        let (stop, x) = (Stop::default(), Var::from(Tensor::ones([2]).unwrap()));
        let pass = |model: Ones| stop.during(|| model.forward(&x, &mut Ctx::eval()));
        assert!(pass(Ones(None)).is_ok());
        assert!(is_stopped(&pass(Ones(Some(stop.clone())))));
        assert!(Ones(None).forward(&x, &mut Ctx::eval()).is_ok(), "other work goes on");
    }

    #[test]
    fn a_plan_ends_for_the_work_that_it_was_made_in() {
        let (stop, x) = (Stop::default(), Tensor::ones([2]).unwrap());
        let mut before = Plan::compile(&Ones(None), &x).unwrap();
        let mut plan = stop.during(|| Plan::compile(&Ones(None), &x)).unwrap();
        assert!(plan.run(&x).is_ok());
        stop.ask();
        assert!(is_stopped(&plan.run(&x)) && before.run(&x).is_ok());
        let isa = plan.isa();
        assert!(is_stopped(&plan.on(isa).run(&x)), "on other kernels too");
    }

    #[test]
    fn work_within_work_gives_back_what_may_end_it() {
        let (outer, inner) = (Stop::default(), Stop::default());
        let asked = outer.during(|| {
            let _ = std::panic::catch_unwind(|| inner.during(|| panic!("as it may")));
            outer.ask();
            Stop::current().map(|current| current.check().is_err())
        });
        assert_eq!(asked, Some(true));
        assert!(Stop::current().is_none());
    }
}
