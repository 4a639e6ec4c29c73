//! Where a tensor's elements live.

use std::{fmt, sync::Arc};

/// Memory that a tensor reads but did not allocate: a whole file, a NumPy array.
///
/// The owner keeps the memory alive and unchanged for as long as any tensor refers to it.
pub trait Owner<T>: Send + Sync {
    /// The elements.
    fn as_slice(&self) -> &[T];
}

impl<T: Send + Sync> Owner<T> for tinytorch_kernels::os::SharedSlice<T> {
    fn as_slice(&self) -> &[T] {
        self
    }
}

/// Where a tensor's elements live. Cloning shares; writing to shared elements copies them first.
pub enum Storage<T> {
    /// Allocated by the tensor.
    Owned(Arc<Vec<T>>),
    /// Borrowed from a file in memory or another language, never written to.
    Foreign(Arc<dyn Owner<T>>),
}

impl<T> Storage<T> {
    /// All elements, whatever part of them a view covers.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Storage::Owned(v) => v,
            Storage::Foreign(owner) => owner.as_slice(),
        }
    }

    /// Whether both refer to the same memory.
    pub fn shares(&self, other: &Storage<T>) -> bool {
        std::ptr::eq(self.as_slice(), other.as_slice())
    }
}

impl<T: Clone> Storage<T> {
    /// The elements for writing: copied first if anything else refers to them.
    pub fn make_mut(&mut self) -> &mut Vec<T> {
        if let Storage::Foreign(owner) = self {
            *self = Storage::Owned(Arc::new(owner.as_slice().to_vec()));
        }
        match self {
            Storage::Owned(v) => Arc::make_mut(v),
            Storage::Foreign(_) => unreachable!("foreign memory was copied above"),
        }
    }
}

impl<T> Clone for Storage<T> {
    fn clone(&self) -> Self {
        match self {
            Storage::Owned(v) => Storage::Owned(v.clone()),
            Storage::Foreign(owner) => Storage::Foreign(owner.clone()),
        }
    }
}

impl<T> From<Vec<T>> for Storage<T> {
    fn from(v: Vec<T>) -> Self {
        Storage::Owned(Arc::new(v))
    }
}

impl<T> fmt::Debug for Storage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Storage::Owned(_) => "Owned",
            Storage::Foreign(_) => "Foreign",
        };
        write!(f, "{kind}({} elements)", self.as_slice().len())
    }
}
