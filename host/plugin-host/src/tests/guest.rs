//! Guests for tests: a core module in text, wrapped as a component of a world of `wit/`, with a manifest.
//!
//! A guest answers each round with a value that the test writes as JSON, laid out in its memory as the canonical ABI
//! wants it; or it runs any instructions.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind, WorldId, WorldItem};

/// Where the table of answers is, and behind it the answers.
const ANSWERS: usize = 4096;
/// A text that instructions can log.
pub const LAST_WORDS: &str = "panicked at src/plan.rs:7: no such weight";
const LAST_WORDS_AT: usize = 64;

const PRINT_IMPORTS: &str = "
    (import \"wasi:cli/stderr@0.2.6\" \"get-stderr\" (func $stderr (result i32)))
    (import \"wasi:io/streams@0.2.6\" \"[method]output-stream.blocking-write-and-flush\"
      (func $write (param i32 i32 i32 i32)))";

/// What an exported function does.
pub enum Does {
    /// Answers round 0 with the first, round 1 with the second; the last stands for all further ones.
    Answers(Vec<Value>),
    /// Refuses with the text in its context at this offset as the message. Before that, as long as it has no state, it
    /// gives the other answer, if there is one.
    Echoes(usize, Option<Value>),
    /// Traps with [`LAST_WORDS`] where the number in its context at this offset is not 0, and answers otherwise.
    TrapsIf(usize, Value),
    /// Runs instructions. `$context` is the address of the arguments; `$log_error` logs [`LAST_WORDS`].
    Runs(String),
}

/// A component to be built.
pub struct Guest {
    pub manifest: Value,
    world: &'static str,
    functions: Vec<(&'static str, Does)>,
    /// Further items of the module.
    pub extra: String,
    /// Imports what a standard toolchain does; `$print` prints [`LAST_WORDS`] to standard error, and `$print_unfinished`
    /// does so without an end of the line.
    pub wasi: bool,
}

/// As much of WASI as is needed to print.
const WASI: &str = "
    package probe:wasi;
    package wasi:io@0.2.6 {
        interface error { resource error; }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource output-stream {
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }
    package wasi:cli@0.2.6 {
        interface stderr {
            use wasi:io/streams@0.2.6.{output-stream};
            get-stderr: func() -> output-stream;
        }
    }
    world traffic-router-plugin {
        include sluice:plugin/traffic-router-plugin@0.1.0;
        import wasi:cli/stderr@0.2.6;
    }";

impl Guest {
    /// A router. `check` finds everything usable.
    pub fn router(reconcile: Does) -> Self {
        Self {
            manifest: manifest("traffic-router"),
            world: "traffic-router-plugin",
            functions: vec![
                ("check", Does::Answers(vec![usable()])),
                ("reconcile", reconcile),
            ],
            extra: String::new(),
            wasi: false,
        }
    }

    pub fn checking(mut self, check: Does) -> Self {
        self.functions.retain(|(name, _)| *name != "check");
        self.functions.push(("check", check));
        self
    }

    /// A provider.
    pub fn provider(measure: Does) -> Self {
        Self {
            manifest: manifest("metric-provider"),
            world: "metric-provider-plugin",
            functions: vec![("measure", measure)],
            extra: String::new(),
            wasi: false,
        }
    }

    /// A step.
    pub fn step(execute: Does) -> Self {
        Self {
            manifest: manifest("step"),
            world: "step-plugin",
            functions: vec![("execute", execute)],
            extra: String::new(),
            wasi: false,
        }
    }

    /// Replaces a field of the manifest.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.manifest[field] = value;
        self
    }

    /// The finished component.
    pub fn build(&self) -> Vec<u8> {
        let mut component = self.component();
        append_section(
            &mut component,
            "sluice:plugin",
            self.manifest.to_string().as_bytes(),
        );
        component
    }

    /// The component without its manifest.
    pub fn component(&self) -> Vec<u8> {
        let wit = Wit::new(self.world, self.wasi);
        let mut module = wat::parse_str(self.text(&wit)).expect("the module's text");
        embed_component_metadata(&mut module, &wit.resolve, wit.world, StringEncoding::UTF8)
            .expect("metadata");
        ComponentEncoder::default()
            .module(&module)
            .expect("a module of the world")
            .encode()
            .expect("a component")
    }

    fn text(&self, wit: &Wit) -> String {
        let mut image = Image::default();
        let mut functions = String::new();
        for (name, does) in &self.functions {
            let (export, result, lifecycle) = wit.function(name);
            let body = match does {
                Does::Runs(instructions) => instructions.clone(),
                Does::TrapsIf(offset, answer) => {
                    let answer = image.put(wit, &result, answer);
                    format!(
                        "(if (i32.load offset={offset} (local.get $context)) (then (call $log_error) unreachable))
                         (i32.const {answer})"
                    )
                }
                Does::Echoes(offset, first) => {
                    let refusal = image.put(wit, &result, &refusal("ECHO"));
                    let message = image.slice_of("ECHO");
                    let first = first.as_ref().map(|answer| image.put(wit, &result, answer));
                    let first = first.map_or_else(String::new, |at| {
                        format!("(if (i32.eqz (i32.load8_u offset=72 (local.get $context))) (then (return (i32.const {at}))))")
                    });
                    format!(
                        "{first}
                         (i32.store (i32.const {message}) (i32.load offset={offset} (local.get $context)))
                         (i32.store (i32.const {}) (i32.load offset={} (local.get $context)))
                         (i32.const {refusal})",
                        message + 4,
                        offset + 4
                    )
                }
                Does::Answers(answers) => {
                    let pointers: Vec<usize> = answers
                        .iter()
                        .map(|answer| image.put(wit, &result, answer))
                        .collect();
                    let table = image.table(&pointers);
                    // The round lies behind the clock's text in the context; a lifecycle comes before the context.
                    let round = if lifecycle { 12 } else { 8 };
                    let last = pointers.len() - 1;
                    format!(
                        "(local $round i32)
                         (local.set $round (i32.load offset={round} (local.get $context)))
                         (if (i32.gt_u (local.get $round) (i32.const {last}))
                           (then (local.set $round (i32.const {last}))))
                         (i32.load (i32.add (i32.const {table}) (i32.mul (local.get $round) (i32.const 4))))"
                    )
                }
            };
            write!(
                functions,
                "(func (export \"{export}\") (param $context i32) (result i32) {body})"
            )
            .unwrap();
        }
        let data: String = image.bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").unwrap();
            text
        });
        let heap = (ANSWERS + image.bytes.len()).next_multiple_of(16);
        let pages = heap / 65536 + 2;
        format!(
            "(module
               (import \"sluice:plugin/logging@0.1.0\" \"log\" (func $log (param i32 i32 i32 i32 i32)))
               {imports}
               (memory (export \"memory\") {pages})
               (global $heap (mut i32) (i32.const {heap}))
               (data (i32.const {LAST_WORDS_AT}) \"{LAST_WORDS}\\n\")
               (data (i32.const {ANSWERS}) \"{data}\")
               (func $log_error
                 (call $log (i32.const 4) (i32.const {LAST_WORDS_AT}) (i32.const {length}) (i32.const 0) (i32.const 0)))
               (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                 (local $at i32)
                 (local.set $at (i32.and
                   (i32.add (global.get $heap) (i32.sub (local.get 2) (i32.const 1)))
                   (i32.sub (i32.const 0) (local.get 2))))
                 (global.set $heap (i32.add (local.get $at) (local.get 3)))
                 (block $fits
                   (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                   (br_if $fits (i32.ne (i32.const -1) (memory.grow
                     (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
                   unreachable)
                 (local.get $at))
               {print}
               {extra}
               {functions})",
            imports = if self.wasi { PRINT_IMPORTS } else { "" },
            print = if self.wasi {
                let printing = |name: &str, length: usize| {
                    format!("(func {name} (call $write (call $stderr) (i32.const {LAST_WORDS_AT}) (i32.const {length}) (i32.const 16)))")
                };
                printing("$print", LAST_WORDS.len() + 1) + &printing("$print_unfinished", LAST_WORDS.len())
            } else {
                String::new()
            },
            length = LAST_WORDS.len(),
            extra = self.extra,
        )
    }
}

/// The least that a manifest of this kind says.
pub fn manifest(kind: &str) -> Value {
    json!({
        "name": "probe",
        "displayName": "Probe",
        "version": "1.2.3",
        "abi": "0.1.0",
        "kinds": [kind],
        "configSchema": {},
    })
}

/// `check` with nothing wrong.
pub fn usable() -> Value {
    json!({ "ok": { "usable": { "watch": [] } } })
}

/// Effects that do nothing.
pub fn no_effects() -> Value {
    json!({ "changes": [], "watch": [], "notices": [], "again-after": null })
}

/// A router's plan with these effects.
pub fn plan(effects: Value) -> Value {
    json!({ "ok": { "done": {
        "effects": effects,
        "verification": { "state": "in-effect", "why": "" },
        "status": null,
        "state": null,
    } } })
}

/// A refusal with this message.
pub fn refusal(message: &str) -> Value {
    json!({ "err": {
        "disposition": "invalid-config", "field": null, "reason": "Odd", "message": message, "retry-after": null,
        "watch": [], "notices": [], "metadata": [],
    } })
}

/// `more`, for a router or a step.
pub fn more(reads: Value, http: Value) -> Value {
    json!({ "ok": { "more": { "reads": reads, "http": http, "state": null } } })
}

/// A read of an object by its name.
pub fn read_named(id: &str, kind: &str, name: &str) -> Value {
    json!({
        "id": id, "api-version": "example.com/v1", "kind": kind, "namespace": null, "select": { "name": name },
    })
}

/// A request.
pub fn get(id: &str, url: &str) -> Value {
    json!({
        "id": id, "method": "GET", "url": url, "headers": [], "body": null, "auth": null, "tls": null,
        "timeout": null,
    })
}

/// Appends a custom section to a finished component.
pub fn append_section(component: &mut Vec<u8>, name: &str, content: &[u8]) {
    fn leb128(mut value: usize, into: &mut Vec<u8>) {
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                return into.push(low);
            }
            into.push(low | 0x80);
        }
    }
    let mut section = Vec::new();
    leb128(name.len(), &mut section);
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(content);
    component.push(0);
    leb128(section.len(), component);
    component.extend_from_slice(&section);
}

/// A world of `wit/`.
struct Wit {
    resolve: Resolve,
    world: WorldId,
    sizes: SizeAlign,
}

impl Wit {
    fn new(world: &str, wasi: bool) -> Self {
        let mut resolve = Resolve::default();
        // The tests across crates build this file, too, from another place.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("wit"))
            .find(|folder| folder.join("worlds.wit").exists());
        let (package, _) = resolve
            .push_dir(folder.expect("the folder of the WIT"))
            .expect("the WIT");
        let package = if wasi {
            resolve.push_str("wasi.wit", WASI).expect("WASI")
        } else {
            package
        };
        let world = resolve
            .select_world(&[package], Some(world))
            .expect("the world");
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Self {
            resolve,
            world,
            sizes,
        }
    }

    /// The name under which a function is exported, its result, and whether a lifecycle is its first parameter.
    fn function(&self, name: &str) -> (String, Type, bool) {
        for (key, item) in &self.resolve.worlds[self.world].exports {
            let WorldItem::Interface { id, .. } = item else {
                continue;
            };
            if let Some(function) = self.resolve.interfaces[*id].functions.get(name) {
                let export = format!("{}#{name}", self.resolve.name_world_key(key));
                let lifecycle = function.params[0].name == "lifecycle";
                return (export, function.result.expect("a result"), lifecycle);
            }
        }
        panic!("no function {name}");
    }
}

/// Bytes that lie at [`ANSWERS`].
#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn put(&mut self, wit: &Wit, ty: &Type, value: &Value) -> usize {
        let at = self.reserve(
            wit.sizes.size(ty).size_wasm32(),
            wit.sizes.align(ty).align_wasm32(),
        );
        self.lower(wit, ty, value, at);
        ANSWERS + at
    }

    fn table(&mut self, pointers: &[usize]) -> usize {
        let at = self.reserve(4 * pointers.len(), 4);
        for (index, pointer) in pointers.iter().enumerate() {
            self.number(at + 4 * index, *pointer as u64, 4);
        }
        ANSWERS + at
    }

    fn reserve(&mut self, size: usize, align: usize) -> usize {
        let at = self.bytes.len().next_multiple_of(align);
        self.bytes.resize(at + size, 0);
        at
    }

    fn number(&mut self, at: usize, number: u64, size: usize) {
        self.bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
    }

    /// Pointer and length of items that lie elsewhere.
    fn slice(&mut self, at: usize, items_at: usize, length: usize) {
        self.number(at, (ANSWERS + items_at) as u64, 4);
        self.number(at + 4, length as u64, 4);
    }

    /// Where the pointer to this text is.
    fn slice_of(&self, text: &str) -> usize {
        let find = |what: &[u8]| {
            self.bytes
                .windows(what.len())
                .position(|window| window == what)
        };
        let at = find(text.as_bytes()).expect("the text");
        let pointer = u32::try_from(ANSWERS + at).unwrap().to_le_bytes();
        ANSWERS + find(&pointer).expect("its pointer")
    }

    fn text(&mut self, at: usize, text: &str) {
        let place = self.reserve(text.len(), 1);
        self.bytes[place..].copy_from_slice(text.as_bytes());
        self.slice(at, place, text.len());
    }

    fn lower(&mut self, wit: &Wit, ty: &Type, value: &Value, at: usize) {
        match ty {
            Type::Bool => self.number(at, u64::from(value.as_bool().expect("a bool")), 1),
            Type::U8 => self.number(at, value.as_u64().expect("a u8"), 1),
            Type::U16 => self.number(at, value.as_u64().expect("a u16"), 2),
            Type::U32 => self.number(at, value.as_u64().expect("a u32"), 4),
            Type::F64 => self.number(at, value.as_f64().expect("an f64").to_bits(), 8),
            Type::String => self.text(
                at,
                value
                    .as_str()
                    .unwrap_or_else(|| panic!("a string, not {value}")),
            ),
            Type::Id(id) => self.lower_type(wit, &wit.resolve.types[*id].kind, value, at),
            other => panic!("{other:?} is not in our WIT"),
        }
    }

    fn lower_type(&mut self, wit: &Wit, kind: &TypeDefKind, value: &Value, at: usize) {
        match kind {
            TypeDefKind::Type(ty) => self.lower(wit, ty, value, at),
            TypeDefKind::Record(record) => {
                let types: Vec<&Type> = record.fields.iter().map(|field| &field.ty).collect();
                let offsets = wit.sizes.field_offsets(types);
                let offsets: Vec<usize> = offsets
                    .iter()
                    .map(|(offset, _)| offset.size_wasm32())
                    .collect();
                assert_eq!(
                    value.as_object().map(serde_json::Map::len),
                    Some(record.fields.len()),
                    "{value} should have the fields {:?}",
                    record
                        .fields
                        .iter()
                        .map(|field| &field.name)
                        .collect::<Vec<_>>()
                );
                for (field, offset) in record.fields.iter().zip(offsets) {
                    self.lower(wit, &field.ty, &value[&field.name], at + offset);
                }
            }
            TypeDefKind::Tuple(tuple) => {
                let offsets = wit.sizes.field_offsets(&tuple.types);
                let offsets: Vec<usize> = offsets
                    .iter()
                    .map(|(offset, _)| offset.size_wasm32())
                    .collect();
                for (index, (ty, offset)) in tuple.types.iter().zip(offsets).enumerate() {
                    self.lower(wit, ty, &value[index], at + offset);
                }
            }
            TypeDefKind::Enum(cases) => {
                let place = cases.cases.iter().position(|case| value == &case.name);
                self.tag(
                    at,
                    cases.tag(),
                    place.unwrap_or_else(|| panic!("no case {value}")),
                );
            }
            TypeDefKind::Variant(variant) => {
                let (name, payload) = case(value);
                let place = variant.cases.iter().position(|case| case.name == name);
                let place = place.unwrap_or_else(|| panic!("no case {name}"));
                self.tag(at, variant.tag(), place);
                let offset = wit.sizes.payload_offset(
                    variant.tag(),
                    variant.cases.iter().map(|case| case.ty.as_ref()),
                );
                if let Some(ty) = &variant.cases[place].ty {
                    self.lower(wit, ty, payload, at + offset.size_wasm32());
                }
            }
            TypeDefKind::Option(ty) => {
                if !value.is_null() {
                    self.tag(at, Int::U8, 1);
                    let offset = wit.sizes.payload_offset(Int::U8, [None, Some(ty)]);
                    self.lower(wit, ty, value, at + offset.size_wasm32());
                }
            }
            TypeDefKind::Result(result) => {
                let (name, payload) = case(value);
                let (place, ty) = if name == "ok" {
                    (0, result.ok)
                } else {
                    (1, result.err)
                };
                self.tag(at, Int::U8, place);
                let offset = wit
                    .sizes
                    .payload_offset(Int::U8, [result.ok.as_ref(), result.err.as_ref()]);
                if let Some(ty) = ty {
                    self.lower(wit, &ty, payload, at + offset.size_wasm32());
                }
            }
            TypeDefKind::List(ty) => {
                // A text stands for a list of bytes, too.
                let items = match value {
                    Value::String(text) => text.bytes().map(Value::from).collect(),
                    _ => value
                        .as_array()
                        .unwrap_or_else(|| panic!("a list, not {value}"))
                        .clone(),
                };
                let size = wit.sizes.size(ty).size_wasm32();
                let place = self.reserve(size * items.len(), wit.sizes.align(ty).align_wasm32());
                for (index, item) in items.iter().enumerate() {
                    self.lower(wit, ty, item, place + size * index);
                }
                self.slice(at, place, items.len());
            }
            other => panic!("{other:?} is not in our WIT"),
        }
    }

    fn tag(&mut self, at: usize, tag: Int, place: usize) {
        let size = match tag {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 => 4,
            Int::U64 => 8,
        };
        self.number(at, place as u64, size);
    }
}

/// `"case"` or `{"case": payload}`.
fn case(value: &Value) -> (&str, &Value) {
    match value {
        Value::String(name) => (name, &Value::Null),
        Value::Object(fields) => {
            let (name, payload) = fields.iter().next().expect("a case");
            (name, payload)
        }
        other => panic!("a case, not {other}"),
    }
}
