//! Good answers with something changed.

use serde_json::{Map, Value};

use super::{
    answer::{Answered, Setting},
    plan::Change,
};
use crate::wire::{Script, Step};

pub(super) fn script(changes: &[Change], mut answered: Answered, setting: Setting<'_>) -> Script {
    let mut waits = Vec::new();
    for change in changes {
        match change {
            Change::Wait(time) => waits.push(Step::Wait(*time)),
            Change::Header(name, value) => answered.set(name, value),
            Change::WithoutHeader(name) => answered.remove(name),
            Change::Date(seconds) => answered.set("date", &setting.clock.http_date(*seconds)),
            Change::Status(status) => answered.status = *status,
            change => answered.body = Some(changed(change, answered.body(), setting)),
        }
    }
    let mut script = answered.closing(setting);
    script.steps.splice(0..0, waits);
    script
}

/// The body after a change to it.
fn changed(change: &Change, body: &[u8], setting: Setting<'_>) -> Vec<u8> {
    let mut fields = Fields::read(body);
    match change {
        Change::Set(name, json) => fields.set(name, json),
        Change::Without(name) => fields.remove(name),
        Change::Again(name, json) => fields.0.push(((*name).to_owned(), (*json).to_owned())),
        Change::Long(name, length) => fields.set(name, &format!("\"{}\"", "x".repeat(*length))),
        Change::Fields(count) => {
            let unknown = (0..*count).map(|number| (format!("unknown_{number}"), "1".to_owned()));
            fields.0.extend(unknown);
        }
        Change::Nested(name, depth) => {
            fields.set(name, &["[".repeat(*depth), "]".repeat(*depth)].concat());
        }
        Change::Before(bytes) => return [bytes, body].concat(),
        Change::After(bytes) => return [body, bytes].concat(),
        Change::Body(bytes) => return bytes.to_vec(),
        Change::Utf16 => {
            let text = String::from_utf8_lossy(body);
            let units = text.encode_utf16().flat_map(u16::to_le_bytes);
            return [0xff, 0xfe].into_iter().chain(units).collect();
        }
        Change::Form => return fields.form(),
        Change::Previous => return setting.previous.map_or_else(|| body.to_vec(), Into::into),
        Change::Header(..)
        | Change::WithoutHeader(_)
        | Change::Date(_)
        | Change::Status(_)
        | Change::Wait(_) => {}
    }
    fields.write()
}

/// The fields of an object in their order, each with its JSON: what no JSON
/// library would write can be said with them.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// None, if the body is no object.
    fn read(body: &[u8]) -> Self {
        let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let fields = object.into_iter();
        Self(
            fields
                .map(|(name, value)| (name, value.to_string()))
                .collect(),
        )
    }

    fn set(&mut self, name: &str, json: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => json.clone_into(value),
            None => self.0.push((name.to_owned(), json.to_owned())),
        }
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn write(&self) -> Vec<u8> {
        let fields = self.0.iter();
        let fields: Vec<String> = fields
            .map(|(name, json)| format!("\"{name}\":{json}"))
            .collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    }

    /// As a form; nothing in a token response of ours needs more of an escape.
    fn form(&self) -> Vec<u8> {
        let fields = self.0.iter();
        let fields: Vec<String> = fields
            .map(|(name, json)| {
                let value = json.trim_matches('"');
                format!("{name}={}", value.replace(':', "%3A").replace(' ', "+"))
            })
            .collect();
        fields.join("&").into_bytes()
    }
}
