//! Axes in another order.

use crate::apply::Operator;
use crate::node::{Node, Reading};

pub(super) fn transpose(node: &Node<'_>) -> Reading<Operator> {
    let order = match node.ints("perm")? {
        Some(order) => {
            let order: Option<Vec<usize>> =
                order.iter().map(|&axis| usize::try_from(axis).ok()).collect();
            Some(order.ok_or("attribute `perm` has a negative entry")?)
        }
        None => None,
    };
    Ok(Operator::one(move |args, ctx| {
        let x = args.need(0)?;
        match &order {
            Some(order) => x.permute(order, ctx),
            None => x.permute(&(0..x.shape().rank()).rev().collect::<Vec<_>>(), ctx),
        }
    }))
}
