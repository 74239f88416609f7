//! Where work is done that may wait for a kernel or a disk.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How long the next piece of work takes, in a simulation.
pub type Pace = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Who does the work.
#[derive(Clone)]
pub enum Hands {
    /// Threads: a kernel may let them wait.
    Threads,
    /// Tasks of the runtime, after a pause: for kernels that never wait, where time stands still until
    /// nobody is busy, and the same seed must make the same history.
    Tasks(Pace),
}

/// A queue of jobs that are done one after the other. It is worked off to its end when this is dropped.
#[derive(Debug)]
pub enum Queue<J> {
    /// By a thread of its own.
    Thread(std::sync::mpsc::Sender<J>),
    /// By a task.
    Task(UnboundedSender<J>),
}

impl Hands {
    /// Does one piece of work; `None` if the runtime ends, or the work panicked.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await.ok(),
            Self::Tasks(pace) => {
                tokio::time::sleep(pace()).await;
                Some(work())
            }
        }
    }

    /// Begins a queue.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn queue<J: Send + 'static>(
        &self,
        name: &str,
        mut work: impl FnMut(J) + Send + 'static,
    ) -> io::Result<Queue<J>> {
        match self {
            Self::Threads => {
                let (jobs, queue) = std::sync::mpsc::channel();
                let thread = std::thread::Builder::new().name(name.to_owned());
                thread.spawn(move || queue.into_iter().for_each(work))?;
                Ok(Queue::Thread(jobs))
            }
            Self::Tasks(pace) => {
                let (jobs, mut queue) = unbounded_channel();
                let pace = Arc::clone(pace);
                tokio::spawn(async move {
                    while let Some(job) = queue.recv().await {
                        tokio::time::sleep(pace()).await;
                        work(job);
                    }
                });
                Ok(Queue::Task(jobs))
            }
        }
    }
}

impl fmt::Debug for Hands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::Tasks(_) => "Tasks",
        })
    }
}

impl<J> Queue<J> {
    /// Hands over a job; false if whoever did them has panicked.
    #[must_use]
    pub fn submit(&self, job: J) -> bool {
        match self {
            Self::Thread(jobs) => jobs.send(job).is_ok(),
            Self::Task(jobs) => jobs.send(job).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn jobs_are_done_in_their_order_by_threads_and_by_tasks() {
        let pace: Pace = Arc::new(|| Duration::from_millis(10));
        for hands in [Hands::Threads, Hands::Tasks(pace)] {
            let (done, mut found) = unbounded_channel();
            let report = move |job: u32| assert!(done.send(job).is_ok());
            let queue = hands.queue("a queue", report).unwrap();
            assert!((0..3).all(|job| queue.submit(job)));
            drop(queue);
            let mut all = Vec::new();
            while let Some(job) = found.recv().await {
                all.push(job);
            }
            assert_eq!(all, [0, 1, 2], "{hands:?}: dropping the queue loses nothing");
            assert_eq!(hands.work(|| 7).await, Some(7));
        }
    }
}
