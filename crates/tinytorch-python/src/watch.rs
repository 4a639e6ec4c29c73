//! Work that Python can look into while it goes on: it stops for Ctrl-C and tells how far it is.

use crate::errors::invalid_value;
use crate::process::in_pool;
use pyo3::prelude::*;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, scope};
use std::time::Duration;
use tinytorch::graph::Stop;

/// How often signals are looked for.
const OFTEN: Duration = Duration::from_millis(50);

/// How far the work may run ahead of whoever is told of it.
const AHEAD: usize = 16;

/// As much as the first thread of a process has, where the work was done otherwise.
const STACK: usize = 8 << 20;

/// What somebody is told of.
enum News {
    /// What is done, and how many steps of how many.
    Step(&'static str, usize, usize),
    /// A piece of text.
    Piece(String),
    /// That the work waits until this is gone.
    Waits(SyncSender<()>),
}

/// What work tells, and whether it is to go on.
pub(crate) struct Watch {
    stop: Stop,
    told: SyncSender<News>,
}

impl Watch {
    /// Tells how far the work is.
    pub(crate) fn tell(&self, what: &'static str, done: usize, of: usize) {
        self.send(News::Step(what, done, of));
    }

    /// Shows a piece of text.
    pub(crate) fn show(&self, piece: &str) {
        self.send(News::Piece(piece.to_string()));
    }

    /// Waits until all that was told has been heard, and goes on unless somebody wants the work ended: for what
    /// cannot be taken back.
    pub(crate) fn settle(&self) -> tinytorch::Result<()> {
        let (waits, gone) = sync_channel(1);
        self.send(News::Waits(waits));
        // It ends with the sender.
        let _ = gone.recv();
        self.check()
    }

    /// Goes on, unless somebody wants the work ended.
    pub(crate) fn check(&self) -> tinytorch::Result<()> {
        self.stop.check()
    }

    fn send(&self, news: News) {
        // Whoever listens does so until the work has ended.
        let _ = self.told.send(news);
    }
}

/// Does work on a thread of its own, without the interpreter's lock. Only the caller's thread may be the one that is
/// shown signals, and callbacks belong there: meanwhile it looks for signals and calls `listener`, if there is one, with
/// what the work tells. What either raises ends the work at its next op, and comes out as itself.
pub(crate) fn watched<T: Send>(
    py: Python<'_>,
    listener: Option<&Py<PyAny>>,
    work: impl FnOnce(&Watch) -> T + Send,
) -> PyResult<T> {
    py.detach(|| {
        let stop = Stop::default();
        let (told, news) = sync_channel(AHEAD);
        let watch = Watch { stop: stop.clone(), told };
        scope(|scope| {
            // The watch is dropped with the work, which ends the news.
            let work = move || in_pool(move || watch.stop.clone().during(|| work(&watch)));
            let worker = Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            let worker = worker.map_err(|error| {
                invalid_value(format!("there is no thread for the work: {error}"))
            })?;
            let raised = look_after(&news, listener, &stop);
            let done = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            raised.map_or(Ok(done), Err)
        })
    })
}

/// Looks for signals and passes news on until the work has ended, and returns what was raised first.
fn look_after(news: &Receiver<News>, listener: Option<&Py<PyAny>>, stop: &Stop) -> Option<PyErr> {
    let mut raised = None;
    loop {
        let news = match news.recv_timeout(OFTEN) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return raised,
        };
        // Gone at the end of this turn, when what was raised has been noted.
        let (news, _waits) = match news {
            Some(News::Waits(waits)) => (None, Some(waits)),
            news => (news, None),
        };
        if raised.is_some() {
            continue;
        }
        let heard = Python::attach(|py| {
            py.check_signals()?;
            let (Some(listener), Some(news)) = (listener, news) else { return Ok(()) };
            match news {
                News::Step(what, done, of) => listener.call1(py, (what, done, of)),
                News::Piece(piece) => listener.call1(py, (piece,)),
                News::Waits(_) => return Ok(()),
            }
            .map(drop)
        });
        if let Err(error) = heard {
            stop.ask();
            raised = Some(error);
        }
    }
}
