//! Small processes and decisions to try a cluster with.

use super::Resource;

/// What a process does between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle<'a> {
    /// Nothing: an instance is completed at once.
    Nothing,
    /// A job of this type.
    Job(&'a str),
    /// It waits for a message of this name, correlated by the variable `key`.
    Message(&'a str),
}

/// A process of this id. Each `edition` is another text, so that each becomes a version.
///
/// The id, types and names are written as they are: letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn process(id: &str, middle: Middle<'_>, edition: u32) -> Resource {
    let (message, activity) = match middle {
        Middle::Nothing => (String::new(), None),
        Middle::Job(kind) => {
            let definition = format!("<zeebe:taskDefinition type=\"{kind}\"/>");
            let extension =
                format!("<bpmn:extensionElements>{definition}</bpmn:extensionElements>");
            (String::new(), Some(("serviceTask", extension, String::new())))
        }
        Middle::Message(name) => {
            let message = format!(
                "<bpmn:message id=\"message\" name=\"{name}\"><bpmn:extensionElements>\
                 <zeebe:subscription correlationKey=\"=key\"/></bpmn:extensionElements></bpmn:message>"
            );
            let definition = "<bpmn:messageEventDefinition id=\"event\" messageRef=\"message\"/>";
            (message, Some(("intermediateCatchEvent", String::new(), definition.to_owned())))
        }
    };
    let flow = |id: &str, from: &str, to: &str| {
        format!("<bpmn:sequenceFlow id=\"{id}\" sourceRef=\"{from}\" targetRef=\"{to}\"/>")
    };
    let (middle, flows, last) = match activity {
        None => (String::new(), flow("first", "start", "end"), "first"),
        Some((element, extension, definition)) => {
            let middle = format!(
                "<bpmn:{element} id=\"middle\">{extension}<bpmn:incoming>first</bpmn:incoming>\
                 <bpmn:outgoing>second</bpmn:outgoing>{definition}</bpmn:{element}>"
            );
            let flows = flow("first", "start", "middle") + &flow("second", "middle", "end");
            (middle, flows, "second")
        }
    };
    let content = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <bpmn:definitions xmlns:bpmn=\"http://www.omg.org/spec/BPMN/20100524/MODEL\" \
         xmlns:zeebe=\"http://camunda.org/schema/zeebe/1.0\" id=\"definitions\" \
         targetNamespace=\"http://bpmn.io/schema/bpmn\">{message}\
         <bpmn:process id=\"{id}\" name=\"edition {edition}\" isExecutable=\"true\">\
         <bpmn:startEvent id=\"start\"><bpmn:outgoing>first</bpmn:outgoing></bpmn:startEvent>{middle}\
         <bpmn:endEvent id=\"end\"><bpmn:incoming>{last}</bpmn:incoming></bpmn:endEvent>{flows}\
         </bpmn:process></bpmn:definitions>\n"
    );
    Resource { name: format!("{id}.bpmn"), content: content.into_bytes() }
}

/// A decision of this id, whose result is the edition.
#[must_use]
pub fn decision(id: &str, edition: u32) -> Resource {
    let content = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\" id=\"{id}-requirements\" \
         name=\"edition {edition}\" namespace=\"http://camunda.org/schema/1.0/dmn\">\
         <decision id=\"{id}\" name=\"{id}\"><variable id=\"variable\" name=\"result\"/>\
         <literalExpression id=\"expression\"><text>{edition}</text></literalExpression>\
         </decision></definitions>\n"
    );
    Resource { name: format!("{id}.dmn"), content: content.into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edition_is_another_text() {
        let text = |edition| process("p", Middle::Job("t"), edition).content;
        assert_ne!(text(1), text(2));
        assert_eq!(text(1), text(1));
        assert_ne!(decision("d", 1), decision("d", 2));
    }

    #[test]
    fn every_element_is_closed() {
        for middle in [Middle::Nothing, Middle::Job("t"), Middle::Message("m")] {
            let text = String::from_utf8(process("p", middle, 1).content).unwrap();
            let opened = text.matches('<').count() - text.matches("</").count();
            let alone = text.matches("/>").count() + text.matches("<?").count();
            assert_eq!(opened - alone, text.matches("</").count(), "{text}");
        }
    }
}
