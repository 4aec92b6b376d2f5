//! Questions about objects, asked in a way that converges: what is answered is used, what is not is collected.

use crate::{Context, Needs, Pair, Read, ReadOutcome, Selector};

impl Read {
    /// The object of this kind and name in the subject's namespace.
    pub fn named(id: impl Into<String>, api_version: &str, kind: &str, name: &str) -> Self {
        Self::of(id, api_version, kind, Selector::Name(name.to_owned()))
    }

    /// The objects of this kind in the subject's namespace that carry an annotation with exactly this value.
    pub fn annotated(
        id: impl Into<String>,
        api_version: &str,
        kind: &str,
        annotation: &str,
        value: &str,
    ) -> Self {
        Self::of(
            id,
            api_version,
            kind,
            Selector::Annotated(Pair::new(annotation, value)),
        )
    }

    /// The objects of this kind in the subject's namespace that carry all of these labels.
    pub fn labelled(
        id: impl Into<String>,
        api_version: &str,
        kind: &str,
        labels: Vec<Pair>,
    ) -> Self {
        Self::of(id, api_version, kind, Selector::Labels(labels))
    }

    fn of(id: impl Into<String>, api_version: &str, kind: &str, select: Selector) -> Self {
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        Self {
            id: id.into(),
            api_version,
            kind,
            namespace: None,
            select,
        }
    }

    /// The same question in another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}

impl Needs {
    /// Only these objects.
    pub fn reads(reads: Vec<Read>) -> Self {
        Self {
            reads,
            http: Vec::new(),
            state: None,
        }
    }

    /// Only these requests.
    pub fn http(http: Vec<crate::HttpRequest>) -> Self {
        Self {
            reads: Vec::new(),
            http,
            state: None,
        }
    }
}

/// Asks for objects, and remembers what was asked: all of it is watched, what has no answer yet is needed.
#[derive(Debug)]
pub struct Reader<'a> {
    context: &'a Context,
    asked: Vec<Read>,
    unanswered: Vec<Read>,
}

impl<'a> Reader<'a> {
    /// Asks for the facts of this call.
    pub fn new(context: &'a Context) -> Self {
        Self {
            context,
            asked: Vec::new(),
            unanswered: Vec::new(),
        }
    }

    /// The answer to this question; none while the host has not answered it.
    ///
    /// The same question may be asked more than once in a call.
    pub fn ask(&mut self, read: Read) -> Option<&'a ReadOutcome> {
        let answer = self
            .context
            .read_result(&read.id)
            .map(|result| &result.outcome);
        if !self.asked.contains(&read) {
            if answer.is_none() {
                self.unanswered.push(read.clone());
            }
            self.asked.push(read);
        }
        answer
    }

    /// What must be answered before the plugin can decide; none when everything was.
    pub fn needs(&self) -> Option<Needs> {
        (!self.unanswered.is_empty()).then(|| Needs::reads(self.unanswered.clone()))
    }

    /// Everything that was asked.
    pub fn asked(&self) -> &[Read] {
        &self.asked
    }

    /// Everything that was asked, to be watched.
    pub fn into_watch(self) -> Vec<Read> {
        self.asked
    }
}
