//! Functions of Python modules: one interpreter for a run, with whatever packages its user has.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use experiment::run::Ending;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as Turn, oneshot};

/// What answers in the interpreter.
const BRIDGE: &str = include_str!("bridge.py");
/// Which interpreter, where nobody says.
const PYTHON: &str = "python3";
/// What says it.
const VARIABLE: &str = "SCHISM_PYTHON";

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Ending>>>>;

/// The interpreter of a run; begun when it is first needed, ended with this.
#[derive(Default)]
pub(super) struct Python {
    interpreter: Turn<Option<Interpreter>>,
}

struct Interpreter {
    /// Killed when it is dropped.
    _child: Child,
    stdin: ChildStdin,
    waiting: Waiting,
    next: u64,
}

#[derive(Deserialize)]
struct Answer {
    call: u64,
    kind: String,
    value: Value,
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Ending>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that somebody waits for; dropped before it is there, the interpreter is told.
struct Call {
    number: u64,
    python: Arc<Python>,
    done: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (python, number) = (Arc::clone(&self.python), self.number);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some(interpreter) = python.interpreter.lock().await.as_mut() {
                    lock(&interpreter.waiting).remove(&number);
                    // One that has ended needs no stop.
                    let _ = interpreter.tell(&json!({"what": "stop", "call": number})).await;
                }
            });
        }
    }
}

impl Python {
    /// Has an order carried out, which is what the bridge takes.
    pub(super) async fn perform(self: &Arc<Self>, order: Value) -> Ending {
        let (number, answer) = {
            let mut interpreter = self.interpreter.lock().await;
            if interpreter.is_none() {
                match Interpreter::start() {
                    Ok(started) => *interpreter = Some(started),
                    Err(why) => return Ending::Crashed(why),
                }
            }
            let Some(standing) = interpreter.as_mut() else {
                return Ending::Crashed("there is no Python".to_owned());
            };
            match standing.ask(order).await {
                Ok(asked) => asked,
                Err(error) => {
                    *interpreter = None;
                    return Ending::Crashed(format!("Python has ended: {error}"));
                }
            }
        };
        let mut call = Call { number, python: Arc::clone(self), done: false };
        let ending = answer.await;
        call.done = true;
        // Whoever ends the interpreter ends what it does.
        ending.unwrap_or_else(|_| Ending::Crashed("Python has ended".to_owned()))
    }
}

impl Interpreter {
    fn start() -> Result<Self, String> {
        let program = std::env::var(VARIABLE).unwrap_or_else(|_| PYTHON.to_owned());
        let mut command = Command::new(&program);
        command.args(["-u", "-c", BRIDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        let mut child = command.spawn().map_err(|error| {
            format!("{program}: {error}; steps in Python need Python 3 ({VARIABLE} says which)")
        })?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else { return Err("no pipe".to_owned()) };
        let waiting = Waiting::default();
        let told = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(answer) = serde_json::from_str::<Answer>(&line) else { continue };
                let text = || answer.value.as_str().unwrap_or_default().to_owned();
                let ending = match answer.kind.as_str() {
                    "returned" => Ending::Returned(answer.value.clone()),
                    "interrupted" => Ending::Interrupted(text()),
                    _ => Ending::Failed(text()),
                };
                if let Some(asker) = lock(&told).remove(&answer.call) {
                    // It may have gone meanwhile.
                    let _ = asker.send(ending);
                }
            }
            // Whoever waits hears that nobody answers.
            lock(&told).clear();
        });
        Ok(Self { _child: child, stdin, waiting, next: 0 })
    }

    async fn ask(&mut self, mut order: Value) -> std::io::Result<(u64, oneshot::Receiver<Ending>)> {
        self.next += 1;
        let number = self.next;
        order["call"] = number.into();
        let (sender, answer) = oneshot::channel();
        lock(&self.waiting).insert(number, sender);
        self.tell(&order).await?;
        Ok((number, answer))
    }

    async fn tell(&mut self, order: &Value) -> std::io::Result<()> {
        let mut line = order.to_string();
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).await?;
        self.stdin.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(module: &str, func: &str, arguments: Value) -> Value {
        json!({"what": "function", "module": module, "func": func, "arguments": arguments,
               "configuration": {}, "secrets": null})
    }

    #[tokio::test]
    async fn functions_return_fail_and_are_given_up() {
        let python = Arc::new(Python::default());
        let ending = python.perform(function("os.path", "join", json!({"a": "x"}))).await;
        assert_eq!(ending, Ending::Returned(json!("x")));
        let ending = python.perform(function("math", "sqrt", json!({}))).await;
        assert!(
            matches!(ending, Ending::Failed(ref why) if why.contains("TypeError")),
            "{ending:?}"
        );
        let ending = python.perform(function("not_there", "f", json!({}))).await;
        assert!(
            matches!(ending, Ending::Failed(ref why) if why.contains("not_there")),
            "{ending:?}"
        );
        let slow = python.perform(function("subprocess", "run", json!({"args": ["sleep", "30"]})));
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(300), slow).await;
        assert!(given_up.is_err());
        let ending = python.perform(function("os", "getcwd", json!({}))).await;
        assert!(matches!(ending, Ending::Returned(_)), "the others go on: {ending:?}");
    }

    #[tokio::test]
    async fn an_interpreter_that_ends_is_told_and_begun_anew() {
        let python = Arc::new(Python::default());
        let ending = python.perform(function("os", "_exit", json!({"status": 3}))).await;
        assert!(matches!(ending, Ending::Crashed(_)), "{ending:?}");
        let mut again = python.perform(function("os", "getcwd", json!({}))).await;
        if matches!(again, Ending::Crashed(_)) {
            // Its end is found by the first who asks.
            again = python.perform(function("os", "getcwd", json!({}))).await;
        }
        assert!(matches!(again, Ending::Returned(_)), "{again:?}");
    }
}
