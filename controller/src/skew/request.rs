//! From what was typed and what was found to faults. Pure: what is random comes in as numbers.

use std::time::Duration;

use fault::{Extent, LeaseTerms, Offset, Selector, Shape, Skew, SkewError, Strobe};

use crate::cli::SkewArgs;
use crate::output::quantity::time;
use crate::processes::AskedError;
use crate::settings::Names;

/// The shortest skew: putting one in takes some tens of milliseconds, and reading it as long again.
const SHORTEST: Duration = Duration::from_millis(100);

/// A skew as it was asked for, checked as far as that goes without an agent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Of whom.
    pub(crate) selectors: Vec<Selector>,
    /// What it does.
    pub(crate) skew: Skew,
}

/// A skew that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    Asked(#[from] AskedError),
    #[error("{0}")]
    Skew(#[from] SkewError),
    #[error("--for {} is too short: a skew lasts at least {}", time(*.0), time(SHORTEST))]
    TooShort(Duration),
    #[error("that is {0} and {1} together, more than a clock can show")]
    Far(Offset, Offset),
}

impl RequestError {
    /// One thing to do about it.
    pub(crate) fn hint(&self) -> String {
        let hint = match self {
            Self::Asked(error) => return error.hint(),
            Self::Skew(_) => "`schism skew --help` says what can be asked for",
            Self::TooShort(_) => "ask for a longer --for",
            Self::Far(..) => "ask for less",
        };
        hint.to_owned()
    }
}

impl Request {
    /// Checks what was typed.
    ///
    /// # Errors
    /// It makes no sense, whatever the names stand for.
    pub(crate) fn new(args: &SkewArgs, names: &Names) -> Result<Self, RequestError> {
        let never = "the node's own clock is never moved";
        let selectors = AskedError::selectors(&args.target, &args.within, names, never)?;
        if args.total < SHORTEST {
            return Err(RequestError::TooShort(args.total));
        }
        let lease = if args.manner.detach { args.total } else { args.lease };
        let terms = LeaseTerms::new(lease, args.total).map_err(AskedError::Terms)?;
        let skew = Skew {
            shape: shape(args)?,
            clocks: args.clocks,
            ending: args.heal,
            extent: if args.tree { Extent::Tree } else { Extent::Named },
        };
        skew.check(terms)?;
        Ok(Self { selectors, skew })
    }
}

fn shape(args: &SkewArgs) -> Result<Shape, RequestError> {
    let offset = args.offset.unwrap_or(Offset::NONE);
    Ok(match (args.drift, args.step_at, args.strobe) {
        (Some(rate), _, _) => Shape::Drift { offset, rate },
        (None, Some(after), _) => Shape::Step { offset, after },
        (None, None, Some(Strobe { by, period })) => {
            let farther = offset.nanos().checked_add(by.nanos()).and_then(Offset::from_nanos);
            let first = farther.ok_or(RequestError::Far(offset, by))?;
            Shape::Strobe { first, second: offset, period }
        }
        (None, None, None) => Shape::Offset(offset),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use fault::Ending;

    use super::*;
    use crate::cli::{Cli, Command};

    fn request(line: &str) -> Result<Request, String> {
        let words = format!("schism skew {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Command::Skew(args) = cli.command else { panic!("{words}") };
        Request::new(&args, &Names::default()).map_err(|error| error.to_string())
    }

    fn nanos(nanos: i64) -> Offset {
        Offset::from_nanos(nanos).unwrap()
    }

    #[test]
    fn shapes_as_they_are_typed() {
        let second = 1_000_000_000;
        let table = [
            ("pid:7 +1h", Shape::Offset(nanos(3_600 * second))),
            ("pid:7 -90s", Shape::Offset(nanos(-90 * second))),
            ("-90s --for 5s pid:7", Shape::Offset(nanos(-90 * second))),
            (
                "pid:7 -90s --step-at 30s",
                Shape::Step { offset: nanos(-90 * second), after: Duration::from_secs(30) },
            ),
            (
                "pid:7 --drift -200ppm",
                Shape::Drift { offset: Offset::NONE, rate: "-200ppm".parse().unwrap() },
            ),
            (
                "pid:7 +1s --strobe 4ms:200ms",
                Shape::Strobe {
                    first: nanos(second + 4_000_000),
                    second: nanos(second),
                    period: Duration::from_millis(200),
                },
            ),
        ];
        for (line, shape) in table {
            if line.starts_with('-') {
                assert!(request(line).is_err(), "{line}: the target comes first");
                continue;
            }
            assert_eq!(request(line).map(|request| request.skew.shape), Ok(shape), "{line}");
        }
        let moved = request("pid:7 +1s --clock realtime,boottime --heal slew:1000000ppm --tree");
        let skew = moved.unwrap().skew;
        assert_eq!(skew.clocks.to_string(), "realtime,boottime");
        assert!(skew.ending != Ending::Step && skew.extent == Extent::Tree);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        let table = [
            ("host:n1 +1h", "the node's own clock is never moved"),
            ("addr:10.0.0.1 +1h", "is no process"),
            ("pid:7 0s", "the clocks would stay as they are"),
            ("pid:7 -1s --clock monotonic", "monotonic would run backwards"),
            ("pid:7 +1s --strobe 4ms:10ms", "a strobe's period is at least 20ms"),
            ("pid:7 +1h --for 10ms", "--for 10ms is too short"),
            ("pid:7", "required"),
            ("pid:7 1", "write a distance from the truth"),
            ("pid:7 +1h --clock tai", "there is no clock 'tai'"),
            ("pid:7 +1h --drift 5ppm --step-at 3s", "cannot be used with"),
            ("pid:7 +1h --heal slew:1ppm", "the way back would take"),
        ];
        for (line, expected) in table {
            let error = request(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
