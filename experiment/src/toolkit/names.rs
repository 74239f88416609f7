//! Names that stand for something: whether it is given, once, and before it is used.

use std::collections::BTreeSet;

use super::fields::{Reader, similar, write_path};
use crate::document::{Entry, Node, Shape};
use crate::model::{HypothesisStrategy, Reading, Verb};
use crate::problem::Fault;
use crate::substitution::Scope;

/// Where a step says which fault it is about.
const OF_FAULT: &str = "provider.arguments.fault";

/// Parts of an experiment that have steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is looked at before the method, and also after it.
    Hypothesis,
    Method,
    Rollbacks,
}

/// A step as it was written.
struct Step<'n> {
    node: &'n Node,
    place: String,
    part: Part,
}

/// What is given at some point of an experiment, and where.
#[derive(Default)]
struct Given {
    outputs: BTreeSet<String>,
    faults: BTreeSet<String>,
}

/// Tells names that stand for nothing, or for two things.
pub(super) fn check(reader: &mut Reader, experiment: &Node, strategy: Option<HypothesisStrategy>) {
    let steps = steps(experiment);
    let mut all = Given::default();
    let mut taken = Given::default();
    for step in &steps {
        if let Some((node, name)) = output(step.node) {
            let is_news = taken.outputs.insert(name.to_owned()) || goes_on(step.node, name);
            named(reader, node, &format!("{}.as", step.place), name, is_news);
            all.outputs.insert(name.to_owned());
        }
        if let Some((node, name)) = fault(step.node) {
            let is_news = taken.faults.insert(name.to_owned());
            named(reader, node, &format!("{}.provider.as", step.place), name, is_news);
            all.faults.insert(name.to_owned());
        }
    }
    let values = values(experiment);
    let groups: Vec<&str> =
        entries(get(experiment, "secrets")).map(|entry| entry.key.as_str()).collect();
    let mut earlier = Given::default();
    for step in &steps {
        let known = match step.part {
            Part::Hypothesis => &all,
            Part::Method | Part::Rollbacks => &earlier,
        };
        outputs(reader, step, known);
        if step.part == Part::Hypothesis {
            early(reader, step, (&earlier, &all), strategy);
        }
        used(reader, step, known, &all);
        if let Some(values) = &values {
            settings(reader, step, values);
        }
        secrets(reader, step, &groups);
        earlier.outputs.extend(output(step.node).map(|(_, name)| name.to_owned()));
        earlier.faults.extend(fault(step.node).map(|(_, name)| name.to_owned()));
    }
}

fn named(reader: &mut Reader, node: &Node, place: &str, name: &str, is_news: bool) {
    if !is_news {
        reader.lax(node.at, place, Fault::Taken(name.to_owned()));
    }
}

/// Whether a step goes on from what its own name stood for until then: a mark that is moved on.
fn goes_on(step: &Node, name: &str) -> bool {
    let mut found = false;
    texts(step, "", &mut |_, text, _| {
        found |=
            Scope::default().unknown(text).into_iter().any(|path| output_of(path) == Some(name));
    });
    found
}

/// The output of which `outputs.NAME.part` is a part.
fn output_of(path: &str) -> Option<&str> {
    path.strip_prefix("outputs.")?.split('.').next()
}

/// `${outputs.NAME}` of no step before.
fn outputs(reader: &mut Reader, step: &Step<'_>, known: &Given) {
    texts(step.node, &step.place, &mut |node, text, place| {
        for name in Scope::default().unknown(text) {
            let Some(output) = output_of(name) else { continue };
            if !known.outputs.contains(output) {
                let names: Vec<&str> = known.outputs.iter().map(String::as_str).collect();
                let similar = similar(output, &names);
                let fault = Fault::Output { name: output.to_owned(), similar };
                reader.lax(node.at, place, fault);
            }
        }
    });
}

/// `${outputs.NAME}`, or a fault, in the steady state of what only a later step finds or puts in, by when that is looked
/// at.
fn early(
    reader: &mut Reader,
    step: &Step<'_>,
    (earlier, all): (&Given, &Given),
    strategy: Option<HypothesisStrategy>,
) {
    if strategy.is_some_and(|strategy| !strategy.before() && !strategy.during()) {
        return;
    }
    let mut tell = |node: &Node, place: &str, fault: Fault| {
        // Where the file does not say when, the command line may; and during the method it may be there.
        if strategy.is_some_and(HypothesisStrategy::before) {
            reader.lax(node.at, place, fault);
        } else {
            reader.warn(node.at, place, fault);
        }
    };
    texts(step.node, &step.place, &mut |node, text, place| {
        for name in Scope::default().unknown(text) {
            let Some(output) = output_of(name) else { continue };
            if !earlier.outputs.contains(output) && all.outputs.contains(output) {
                tell(node, place, Fault::Early(output.to_owned()));
            }
        }
    });
    if let Some((node, label)) = use_of_fault(step.node)
        && all.faults.contains(label)
    {
        let place = format!("{}.{OF_FAULT}", step.place);
        tell(node, &place, Fault::EarlyFault(label.to_owned()));
    }
}

/// Faults that are used before they are put in. Those that no step puts in are told by whoever checks arguments.
fn used(reader: &mut Reader, step: &Step<'_>, known: &Given, all: &Given) {
    let Some((node, label)) = use_of_fault(step.node) else { return };
    if all.faults.contains(label) && !known.faults.contains(label) {
        let place = format!("{}.{OF_FAULT}", step.place);
        reader.lax(node.at, &place, Fault::Later(label.to_owned()));
    }
}

/// Which fault a step heals or looks at.
fn use_of_fault(step: &Node) -> Option<(&Node, &str)> {
    let provider = ours(step)?;
    let verb: Verb = text(provider, "action").or_else(|| text(provider, "probe"))?.parse().ok()?;
    matches!(verb, Verb::Heal | Verb::Read(Reading::Effect)).then_some(())?;
    name(get(get(provider, "arguments")?, "fault")?)
}

/// `${name}` that nobody gives, where no shell and nobody else reads it.
fn settings(reader: &mut Reader, step: &Step<'_>, values: &BTreeSet<String>) {
    let Some(provider) = get(step.node, "provider") else { return };
    let key = match text(provider, "type") {
        Some("schism") => "arguments",
        Some("http") => "url",
        Some(_) | None => return,
    };
    let Some(node) = get(provider, key) else { return };
    let each = get(step.node, "for-each").and_then(|each| text(each, "name"));
    texts(node, &format!("{}.provider.{key}", step.place), &mut |node, text, place| {
        for name in Scope::default().unknown(text) {
            let is_given =
                name.starts_with("outputs.") || values.contains(name) || each == Some(name);
            if !is_given {
                let known: Vec<&str> = values.iter().map(String::as_str).chain(each).collect();
                let similar = similar(name, &known);
                let fault = Fault::Value { name: name.to_owned(), similar };
                reader.lax(node.at, place, fault);
            }
        }
    });
}

/// Groups of secrets that there are not.
fn secrets(reader: &mut Reader, step: &Step<'_>, groups: &[&str]) {
    let Some(provider) = get(step.node, "provider") else { return };
    let Some(Shape::List(list)) = get(provider, "secrets").map(|node| &node.shape) else { return };
    for (index, node) in list.iter().enumerate() {
        let Shape::Text(name) = &node.shape else { continue };
        if !groups.contains(&name.as_str()) {
            let place = write_path(&format!("{}.provider.secrets", step.place), index);
            let similar = similar(name, groups);
            reader.lax(node.at, &place, Fault::Group { name: name.clone(), similar });
        }
    }
}

/// All steps, in the order in which they are performed.
fn steps(experiment: &Node) -> Vec<Step<'_>> {
    let hypothesis = "steady-state-hypothesis";
    let probes = get(experiment, hypothesis).and_then(|node| get(node, "probes"));
    let parts = [
        (probes, format!("{hypothesis}.probes"), Part::Hypothesis),
        (get(experiment, "method"), "method".to_owned(), Part::Method),
        (get(experiment, "rollbacks"), "rollbacks".to_owned(), Part::Rollbacks),
    ];
    let mut steps = Vec::new();
    for (list, place, part) in parts {
        let Some(Shape::List(list)) = list.map(|node| &node.shape) else { continue };
        for (index, node) in list.iter().enumerate() {
            steps.push(Step { node, place: write_path(&place, index), part });
        }
    }
    steps
}

/// The names of settings and secrets; `None` where Vault says some of them.
fn values(experiment: &Node) -> Option<BTreeSet<String>> {
    let settings = entries(get(experiment, "configuration")).map(|entry| entry.key.clone());
    let mut values: BTreeSet<String> = settings.collect();
    for group in entries(get(experiment, "secrets")) {
        if text(&group.value, "type") == Some("vault") {
            return None;
        }
        values.extend(entries(Some(&group.value)).map(|entry| entry.key.clone()));
    }
    Some(values)
}

/// What a step's output is called.
fn output(step: &Node) -> Option<(&Node, &str)> {
    name(get(step, "as")?)
}

/// What a step calls its fault.
fn fault(step: &Node) -> Option<(&Node, &str)> {
    let provider = ours(step)?;
    let verb: Verb = text(provider, "action")?.parse().ok()?;
    matches!(verb, Verb::Fault(_)).then_some(())?;
    name(get(provider, "as")?)
}

fn name(node: &Node) -> Option<(&Node, &str)> {
    if let Shape::Text(name) = &node.shape { Some((node, name)) } else { None }
}

fn ours(step: &Node) -> Option<&Node> {
    get(step, "provider").filter(|provider| text(provider, "type") == Some("schism"))
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = &Entry> {
    let entries: &[Entry] = match node.map(|node| &node.shape) {
        Some(Shape::Map(entries)) => entries,
        Some(_) | None => &[],
    };
    entries.iter()
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entries(Some(node)).filter(|entry| entry.key == key).last().map(|entry| &entry.value)
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    if let Shape::Text(text) = &get(node, key)?.shape { Some(text) } else { None }
}

/// All texts in a value, with their places. What is anybody's is nobody's business here.
fn texts(node: &Node, place: &str, look: &mut impl FnMut(&Node, &str, &str)) {
    match &node.shape {
        Shape::Text(text) => look(node, text, place),
        Shape::List(list) => {
            for (index, node) in list.iter().enumerate() {
                texts(node, &write_path(place, index), look);
            }
        }
        Shape::Map(entries) => {
            let own = |entry: &&Entry| !entry.key.starts_with("x-") && entry.key != "extensions";
            for entry in entries.iter().filter(own) {
                texts(&entry.value, &format!("{place}.{}", entry.key), look);
            }
        }
        Shape::Null | Shape::Bool(_) | Shape::Number(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use crate::document::Notation;
    use crate::toolkit::{Manner, read};

    fn told(steps: &str) -> Vec<String> {
        let text = format!("title: t\ndescription: d\n{steps}");
        let told = read(&text, Notation::Yaml, Manner::Strict).problems;
        told.iter().map(ToString::to_string).collect()
    }

    fn step(name: &str, provider: &str, more: &str) -> String {
        format!("- {{type: action, name: {name}, provider: {provider}{more}}}\n")
    }

    fn says(words: &str) -> String {
        format!("{{type: process, path: echo, arguments: ['{words}']}}")
    }

    #[test]
    fn what_no_step_before_has_found_is_told() {
        let late = says("${outputs.found.stdout}");
        let found = step("finds", &says("x"), ", as: found");
        let uses = step("uses", &late, "");
        assert_eq!(told(&format!("method:\n{found}{uses}")), Vec::<String>::new());
        let all = told(&format!("method:\n{uses}{found}rollbacks:\n{uses}"));
        assert_eq!(all.len(), 1, "{all:#?}");
        let expected = "method[0].provider.arguments[0]: the output of an earlier step was expected here, \
                        found `found`";
        assert!(all[0].contains(expected), "{all:#?}");
        let typed = step("uses", &says("${outputs.fund}"), "");
        let all = told(&format!("method:\n{found}{typed}"));
        assert!(all[0].contains("found `fund`: did you mean `found`?"), "{all:#?}");
        // Of the steady state a look after the method may use what that has found.
        let after = "runtime: {hypothesis: {strategy: after-method-only}}\n";
        let probe = "{type: probe, name: p, tolerance: 0, provider: ";
        let hypothesis =
            format!("steady-state-hypothesis:\n  title: h\n  probes:\n  - {probe}{late}}}\n");
        assert_eq!(told(&format!("{after}{hypothesis}method:\n{found}")), Vec::<String>::new());
        assert_eq!(told(&format!("{hypothesis}method: []\n")).len(), 1);
    }

    #[test]
    fn what_the_method_finds_is_not_there_when_the_steady_state_is_looked_at_before() {
        let probe = |more: &str| {
            let late = says("${outputs.found.stdout}");
            format!("  - {{type: probe, name: p, tolerance: 0, provider: {late}{more}}}\n")
        };
        let found = step("finds", &says("x"), ", as: found");
        let all = |strategy: &str, probe: &str| {
            told(&format!(
                "{strategy}steady-state-hypothesis:\n  title: h\n  probes:\n{probe}method:\n{found}"
            ))
        };
        let by = |strategy: &str| format!("runtime: {{hypothesis: {{strategy: {strategy}}}}}\n");
        let place = "steady-state-hypothesis.probes[0].provider.arguments[0]: ";
        for (strategy, expected) in [
            (String::new(), Some(format!("warning: {place}`outputs.found` is found by a later"))),
            (by("during-method-only"), Some(format!("warning: {place}`outputs.found` is found"))),
            (by("default"), Some(format!(": {place}`outputs.found` is found by a later step"))),
            (by("before-method-only"), Some(format!(": {place}`outputs.found` is found"))),
            (by("continuously"), Some(format!(": {place}`outputs.found` is found"))),
            (by("after-method-only"), None),
            (by("skip"), None),
        ] {
            let all = all(&strategy, &probe(""));
            assert_eq!(all.len(), usize::from(expected.is_some()), "{strategy}{all:#?}");
            for (told, expected) in all.iter().zip(expected) {
                assert!(told.contains(&expected), "{strategy}{told}");
                assert_eq!(told.contains("warning"), expected.starts_with("warning"), "{told}");
            }
        }
        // What a probe before it finds is there, and also what it has found itself is not at first.
        let finds = format!(
            "  - {{type: probe, name: f, tolerance: 0, as: early, provider: {}}}\n",
            says("x")
        );
        let uses = format!(
            "  - {{type: probe, name: u, tolerance: 0, as: NAME, provider: {}}}\n",
            says("${outputs.early.stdout}")
        );
        let told = all("", &format!("{finds}{}", uses.replace("NAME", "other")));
        assert_eq!(told, Vec::<String>::new());
        let told = all("", &uses.replace("NAME", "early"));
        assert_eq!(told.len(), 1, "{told:#?}");
    }

    #[test]
    fn the_effect_of_a_fault_is_not_there_before_the_method_puts_it_in() {
        let cut = step("cut", "{type: schism, action: cut, as: c}", "");
        let all = |strategy: &str| {
            told(&format!(
                "{strategy}steady-state-hypothesis:\n  title: h\n  probes:\n  - {{type: probe, name: p, \
                 tolerance: true, provider: {{type: schism, probe: effect, arguments: {{fault: c}}}}}}\n\
                 method:\n{cut}"
            ))
        };
        let by = |strategy: &str| format!("runtime: {{hypothesis: {{strategy: {strategy}}}}}\n");
        let early = "steady-state-hypothesis.probes[0].provider.arguments.fault: the fault `c` is put in by a later";
        let before = all(&by("default"));
        assert_eq!(before.len(), 1, "{before:#?}");
        assert!(before[0].contains(early) && !before[0].contains("warning"), "{before:#?}");
        let unsaid = all("");
        assert!(unsaid[0].contains(&format!("warning: {early}")), "{unsaid:#?}");
        assert_eq!(all(&by("after-method-only")), Vec::<String>::new());
    }

    #[test]
    fn a_name_stands_for_one_thing() {
        let cut = |name: &str| format!("{{type: schism, action: cut, as: {name}}}");
        let all = told(&format!(
            "method:\n{}{}{}{}",
            step("a", &cut("c"), ", as: x"),
            step("b", &cut("c"), ""),
            step("c", &cut("d"), ", as: x"),
            step("e", &says("y"), ", as: d"),
        ));
        assert_eq!(all.len(), 2, "{all:#?}");
        assert!(
            all[0].contains("method[1].provider.as: `c` stands for something else"),
            "{all:#?}"
        );
        assert!(all[1].contains("method[2].as: `x` stands for something else"), "{all:#?}");
        let mark = |more: &str| step("look", &says(more), ", as: mark");
        let moved = format!("method:\n{}{}", mark("x"), mark("${outputs.mark.end}"));
        assert_eq!(told(&moved), Vec::<String>::new());
    }

    #[test]
    fn a_fault_is_put_in_before_it_is_healed() {
        let cut = step("cut", "{type: schism, action: cut, as: c}", "");
        let heal = step("heal", "{type: schism, action: heal, arguments: {fault: c}}", "");
        assert_eq!(told(&format!("method:\n{cut}{heal}rollbacks:\n{heal}")), Vec::<String>::new());
        let all = told(&format!("method:\n{heal}{cut}"));
        assert!(all[0].contains("found `c`, which a later step puts in"), "{all:#?}");
    }

    #[test]
    fn values_that_nobody_gives_are_told_where_nobody_else_reads_them() {
        let given = "configuration: {url: u}\nsecrets: {g: {token: {type: env, key: T}}}\n";
        let http = |url: &str| step("a", &format!("{{type: http, url: '{url}'}}"), "");
        let cut = |from: &str| {
            let cut = format!("{{type: schism, action: cut, arguments: {{from: '{from}'}}}}");
            step("b", &cut, ", for-each: {name: each, in: [1]}")
        };
        let fine = format!(
            "{given}method:\n{}{}{}{}",
            http("${url}/${token}"),
            cut("${each}"),
            cut("$$x"),
            step("c", &says("${HOME} $x"), ""),
        );
        assert_eq!(told(&fine), Vec::<String>::new());
        let all = told(&format!("{given}method:\n{}{}", http("${urll}/"), cut("${other}")));
        assert_eq!(all.len(), 2, "{all:#?}");
        let expected = "the name of a setting or a secret was expected here, found `urll`: did you mean `url`?";
        assert!(all[0].contains(expected), "{all:#?}");
        assert!(all[1].contains("arguments.from: "), "{all:#?}");
        let vault = "secrets: {g: {type: vault, path: p}}\n";
        assert_eq!(told(&format!("{vault}method:\n{}", http("${what}"))), Vec::<String>::new());
        let python = step("p", "{type: python, module: m, func: f, secrets: [h]}", "");
        let all = told(&format!("{given}method:\n{python}"));
        assert!(all[0].contains("a group of secrets was expected here, found `h`"), "{all:#?}");
    }
}
