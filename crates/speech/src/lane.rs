//! One thread for one inference.
//!
//! Both engines split their work over rayon's pool. With several calls on one machine that only makes
//! the calls wait for each other, so every inference runs in a pool of one thread that belongs to the
//! calling thread.

use std::sync::Arc;

use rten::ThreadPool;

thread_local! {
    static LANE: Arc<ThreadPool> = Arc::new(ThreadPool::with_num_threads(1));
}

/// The pool of one thread that belongs to the calling thread; it ends with that thread.
pub(crate) fn lane() -> Arc<ThreadPool> {
    LANE.with(Arc::clone)
}
