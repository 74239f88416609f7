//! How an agent starts, and how it does not.

use std::pin::pin;
use std::task::{Context, Waker};

use agent::daemon::{self, Options};
use lab::directory::Directory;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_given_up_leaves_nothing() {
    assert!(nix::unistd::geteuid().is_root(), "this test starts an agent: run it as root");
    let above = Directory::create("start").unwrap();
    let directory = above.path().join("schism");
    let options = Options::embedded(directory.join("agent.sock"));
    {
        let mut start = pin!(daemon::start(options.clone()));
        let polled = start.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "it looks for leftovers");
        assert!(directory.join("agent.lock").exists());
    }
    assert!(!directory.exists());

    let started = daemon::start(options).await.unwrap();
    assert!(directory.join("agent.sock").exists());
    drop(started);
    assert!(!directory.exists());
}
