//! An iterator that runs ahead on a thread of its own.

use std::io;
use std::iter::Fuse;
use std::sync::mpsc::{IntoIter, sync_channel};
use std::thread::{Builder, JoinHandle};

/// The items of an iterator, made ahead of time, in order.
pub(super) struct Prefetched<T> {
    items: Option<Fuse<IntoIter<T>>>,
    worker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetched<T> {
    /// Starts making items; at most `ahead` wait to be fetched.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub(super) fn spawn(
        items: impl Iterator<Item = T> + Send + 'static,
        ahead: usize,
    ) -> io::Result<Prefetched<T>> {
        let (sender, receiver) = sync_channel(ahead);
        let work = move || {
            for item in items {
                if sender.send(item).is_err() {
                    break;
                }
            }
        };
        let worker = Builder::new().name("prefetch".into()).spawn(work)?;
        Ok(Prefetched { items: Some(receiver.into_iter().fuse()), worker: Some(worker) })
    }

    pub(super) fn next(&mut self) -> Option<T> {
        self.items.as_mut()?.next()
    }
}

impl<T> Drop for Prefetched<T> {
    fn drop(&mut self) {
        // Without a receiver the worker's next `send` fails, so that joining cannot wait for ever.
        drop(self.items.take());
        if let Some(worker) = self.worker.take() {
            // The items' own panics are theirs to report; there is nobody left to tell here.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_come_in_order_and_end_once() {
        let mut items = Prefetched::spawn(0..100, 3).unwrap();
        for i in 0..100 {
            assert_eq!(items.next(), Some(i));
        }
        assert_eq!((items.next(), items.next()), (None, None));
    }

    #[test]
    fn dropping_early_ends_the_thread_and_at_most_a_few_items_were_made() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let endless = (0..).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let mut items = Prefetched::spawn(endless, 2).unwrap();
        assert_eq!(items.next(), Some(0));
        drop(items);
        // The iterator, and with it the second handle, went away with the thread.
        assert_eq!(Arc::strong_count(&made), 1);
        // One fetched, two waiting, one refused, and one more if it was fetched before the drop.
        assert!(made.load(Ordering::SeqCst) <= 5);
    }
}
