//! Functions of Python modules: one interpreter for a run, with whatever packages its user has.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use experiment::run::Ending;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as Turn, oneshot};

use super::reaper::{MARK, Reaper, Step};

/// What answers in the interpreter.
const BRIDGE: &str = include_str!("bridge.py");
/// Which interpreter, where nobody says.
const PYTHON: &str = "python3";
/// What says it.
const VARIABLE: &str = "SCHISM_PYTHON";

/// How long a line of the interpreter may be (17 MiB): the bridge gives up what is longer than 16 MiB.
const LONGEST: u64 = 17 << 20;

/// Who waits for which answer; none where no answer comes any more.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Ending>>>>>;

/// The interpreter of a run; begun when it is first needed, ended with this.
pub(super) struct Python {
    reaper: Arc<Reaper>,
    interpreter: Turn<Option<Interpreter>>,
}

struct Interpreter {
    /// Killed when it is dropped.
    _child: Child,
    /// What it started ends with this.
    _step: Step,
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

/// What an answer that cannot be read is for.
#[derive(Deserialize)]
struct Addressed {
    call: u64,
}

impl Answer {
    /// Which call it is for, and how that ended.
    ///
    /// # Errors
    /// Nobody can say whom it is for.
    fn read(line: &[u8]) -> Result<(u64, Ending), serde_json::Error> {
        let answer: Self = match serde_json::from_slice(line) {
            Ok(answer) => answer,
            Err(error) => {
                let Addressed { call } = serde_json::from_slice(line)?;
                return Ok((call, Ending::Failed(format!("the output cannot be read: {error}"))));
            }
        };
        let text = || answer.value.as_str().unwrap_or_default().to_owned();
        let ending = match answer.kind.as_str() {
            "returned" => Ending::Returned(answer.value),
            "interrupted" => Ending::Interrupted(text()),
            _ => Ending::Failed(text()),
        };
        Ok((answer.call, ending))
    }
}

/// The next line without its end; none where no more can be told from what follows.
async fn next_line(from: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    from.take(LONGEST).read_until(b'\n', &mut line).await.ok()?;
    (line.pop() == Some(b'\n')).then_some(line)
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Ending>>>> {
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
                    if let Some(waiting) = lock(&interpreter.waiting).as_mut() {
                        waiting.remove(&number);
                    }
                    // One that has ended needs no stop.
                    let _ = interpreter.tell(&json!({"what": "stop", "call": number})).await;
                }
            });
        }
    }
}

impl Python {
    /// Not begun yet.
    pub(super) fn new(reaper: Arc<Reaper>) -> Self {
        Self { reaper, interpreter: Turn::default() }
    }

    /// Has an order carried out, which is what the bridge takes.
    pub(super) async fn perform(self: &Arc<Self>, order: Value) -> Ending {
        let (number, answer) = {
            let mut interpreter = self.interpreter.lock().await;
            if interpreter.is_none() {
                match Interpreter::start(&self.reaper) {
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
    fn start(reaper: &Arc<Reaper>) -> Result<Self, String> {
        let program = std::env::var(VARIABLE).unwrap_or_else(|_| PYTHON.to_owned());
        let mut command = Command::new(&program);
        command.args(["-u", "-c", BRIDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        let step = reaper.step();
        let mut step = step.map_err(|error| format!("nobody would end {program}: {error}"))?;
        command.env(MARK, step.mark());
        let mut child = command.spawn().map_err(|error| {
            format!("{program}: {error}; steps in Python need Python 3 ({VARIABLE} says which)")
        })?;
        step.leads(child.id());
        // A function may have left something on purpose.
        step.spare();
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else { return Err("no pipe".to_owned()) };
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let told = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout);
            while let Some(line) = next_line(&mut lines).await {
                // Whoever it was for would wait for ever.
                let Ok((call, ending)) = Answer::read(&line) else { break };
                let asker = lock(&told).as_mut().and_then(|told| told.remove(&call));
                if let Some(asker) = asker {
                    // It may have gone meanwhile.
                    let _ = asker.send(ending);
                }
            }
            // Whoever waits hears that nobody answers.
            *lock(&told) = None;
        });
        Ok(Self { _child: child, _step: step, stdin, waiting, next: 0 })
    }

    async fn ask(&mut self, mut order: Value) -> std::io::Result<(u64, oneshot::Receiver<Ending>)> {
        self.next += 1;
        let number = self.next;
        order["call"] = number.into();
        let (sender, answer) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(number, sender)),
            // Something that it started may still hold the pipe.
            None => return Err(std::io::ErrorKind::BrokenPipe.into()),
        }
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
    use std::fs::File;
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::path::PathBuf;

    use super::*;

    fn function(module: &str, func: &str, arguments: Value) -> Value {
        json!({"what": "function", "module": module, "func": func, "arguments": arguments,
               "configuration": {}, "secrets": null})
    }

    fn python() -> Arc<Python> {
        Arc::new(Python::new(Arc::new(Reaper::nobody(experiment::run::Verdicts::Strict))))
    }

    /// Where a script writes, and what is read there until everybody that it has started is gone.
    struct Script {
        directory: tempfile::TempDir,
        reader: Option<BufReader<File>>,
    }

    impl Script {
        const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let made =
                std::process::Command::new("mkfifo").arg(directory.path().join("out")).status();
            assert!(made.unwrap().success());
            Self { directory, reader: None }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("out")
        }

        /// Waits for its first line.
        async fn begins(&mut self) {
            let path = self.path();
            let read = tokio::task::spawn_blocking(move || {
                // Opening waits for who writes.
                let mut reader = BufReader::new(File::open(path).unwrap());
                reader.read_line(&mut String::new()).unwrap();
                reader
            });
            self.reader = Some(tokio::time::timeout(Self::LIMIT, read).await.unwrap().unwrap());
        }

        /// Waits until nobody has its output open any more.
        async fn ends(self) {
            let mut reader = self.reader.unwrap();
            let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
            tokio::time::timeout(Self::LIMIT, read).await.unwrap().unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_function_started_ends_with_a_call_that_is_given_up() {
        let python = python();
        let other = {
            let python = Arc::clone(&python);
            let order = function("time", "sleep", json!({"secs": 1}));
            tokio::spawn(async move { python.perform(order).await })
        };
        let mut script = Script::new();
        let out = script.path();
        let line = format!("exec > {}; (setsid sleep 61; true) & echo ready; wait", out.display());
        let order = function("subprocess", "run", json!({"args": ["sh", "-c", line]}));
        tokio::select! {
            ending = python.perform(order) => panic!("{ending:?}"),
            () = script.begins() => (),
        }
        script.ends().await;
        // `time.sleep` takes no name: what matters is that it was asked, and answered.
        assert!(matches!(other.await.unwrap(), Ending::Failed(_)));
    }

    #[tokio::test]
    async fn functions_return_fail_and_are_given_up() {
        let python = python();
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
    async fn what_json_does_not_have_is_answered_all_the_same() {
        let python = python();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("given_back.py"),
            "class Rude(Exception):\n    def __str__(self):\n        raise ValueError\n\n\n\
             def give(text):\n    return eval(text)\n\n\n\
             def rude():\n    raise Rude\n",
        )
        .unwrap();
        let path = directory.path().display().to_string();
        let add = function("site", "addsitedir", json!({"sitedir": path}));
        python.perform(add).await;
        let of = |text: &str| function("given_back", "give", json!({"text": text}));
        for (text, value) in [
            ("float('nan')", json!("NaN")),
            (
                "{'a': [1, float('-inf'), (float('inf'),)]}",
                json!({"a": [1, "-Infinity", ["Infinity"]]}),
            ),
            ("'a' + chr(0xd800) + 'b'", json!("a\u{fffd}b")),
            ("chr(0x1f600)", json!("\u{1f600}")),
        ] {
            assert_eq!(python.perform(of(text)).await, Ending::Returned(value), "{text}");
        }
        // Deeper than whoever reads it here goes, a number that is none here, a ring, and too much.
        let deep = "__import__('json').loads('[' * 200 + ']' * 200)";
        for text in
            [deep, "10 ** 400", "(lambda ring: ring.append(ring) or ring)([])", "'x' * (17 << 20)"]
        {
            let ending = python.perform(of(text)).await;
            assert!(matches!(ending, Ending::Failed(_)), "{text}");
        }
        let ending = python.perform(function("given_back", "rude", json!({}))).await;
        assert!(matches!(ending, Ending::Failed(_)), "{ending:?}");
    }

    #[tokio::test]
    async fn lines_have_an_end_or_are_the_last() {
        let mut text: &[u8] = b"a\n\nb";
        assert_eq!(next_line(&mut text).await, Some(b"a".to_vec()));
        assert_eq!(next_line(&mut text).await, Some(Vec::new()));
        assert_eq!(next_line(&mut text).await, None);
        let endless = vec![b'x'; usize::try_from(LONGEST).unwrap() + 1];
        assert_eq!(next_line(&mut endless.as_slice()).await, None);
        assert!(Answer::read(b"no JSON").is_err());
    }

    #[tokio::test]
    async fn an_interpreter_that_ends_is_told_and_begun_anew() {
        let python = python();
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
