//! The objects of Istio that a call is about: how they are asked for, and what is said when they are missing.

use sluice_plugin_sdk::{Context, Needs, Notice, Object, PluginError, Read, ReadOutcome, Reader};

use crate::API_VERSION_SETTING;
use crate::config::VirtualService;
use crate::destination_rule::MANAGED_BY;

/// The objects of Istio that a call is about.
pub struct Objects<'a> {
    reader: Reader<'a>,
    context: &'a Context,
    api_version: String,
}

/// What a read of one object found.
#[derive(Clone, Copy)]
pub enum Found<'a> {
    /// The host has not answered yet.
    Pending,
    /// The object.
    Some(&'a Object),
    /// It does not exist.
    None,
    /// Istio is not installed, or not in this version; the API server's words.
    NotServed(&'a str),
    /// It may not be read; who says so.
    Forbidden(&'a str),
}

impl<'a> Objects<'a> {
    /// In the version of Istio's API that the administrator chose.
    pub fn new(context: &'a Context) -> Result<Self, PluginError> {
        let version = context
            .setting(API_VERSION_SETTING)?
            .unwrap_or_else(|| "v1alpha3".to_owned());
        let api_version = format!("networking.istio.io/{version}");
        Ok(Self {
            reader: Reader::new(context),
            context,
            api_version,
        })
    }

    /// The VirtualService that is meant.
    pub fn virtual_service(&mut self, reference: &VirtualService) -> Found<'a> {
        let (namespace, name) = reference.location();
        let namespace = namespace.unwrap_or(self.context.namespace());
        let id = format!("virtual-service/{namespace}/{name}");
        self.one(Read::named(id, &self.api_version, "VirtualService", name).in_namespace(namespace))
    }

    /// The DestinationRule of this name, beside the Rollout.
    pub fn destination_rule(&mut self, name: &str) -> Found<'a> {
        self.one(Read::named(
            format!("destination-rule/{name}"),
            &self.api_version,
            "DestinationRule",
            name,
        ))
    }

    fn one(&mut self, read: Read) -> Found<'a> {
        match self.reader.ask(read) {
            None => Found::Pending,
            Some(ReadOutcome::Found(objects)) => objects.first().map_or(Found::None, Found::Some),
            Some(ReadOutcome::NotServed(why)) => Found::NotServed(why),
            Some(ReadOutcome::Forbidden(why)) => Found::Forbidden(why),
            Some(ReadOutcome::TooMany(_)) => Found::Forbidden("more than one object has this name"),
        }
    }

    /// The DestinationRules that say that this Rollout manages them. What cannot be seen is not ours to clean up.
    pub fn marked(&mut self) -> Vec<&'a Object> {
        let rollout = &self.context.subject.name;
        match self.reader.ask(Read::annotated(
            "marked",
            &self.api_version,
            "DestinationRule",
            MANAGED_BY,
            rollout,
        )) {
            Some(ReadOutcome::Found(objects)) => objects.iter().collect(),
            Some(
                ReadOutcome::NotServed(_) | ReadOutcome::Forbidden(_) | ReadOutcome::TooMany(_),
            )
            | None => Vec::new(),
        }
    }

    /// The object, or the error and the event that say that it is missing.
    pub fn existing(
        &self,
        kind: &str,
        resource: &str,
        name: &str,
        found: Found<'a>,
    ) -> Result<&'a Object, PluginError> {
        let error = match found {
            Found::Some(object) => return Ok(object),
            Found::Forbidden(why) => PluginError::retry("Forbidden", why),
            Found::Pending | Found::None | Found::NotServed(_) => {
                let reason = format!("{kind}NotFound");
                PluginError::retry(&reason, self.not_found(resource, name, &found)).noticing(
                    Notice::warning(&reason, format!("{kind} `{name}` not found")),
                )
            }
        };
        Err(error.watching(self.watch()))
    }

    /// In the words of the API server.
    pub fn not_found(&self, resource: &str, name: &str, found: &Found<'_>) -> String {
        match found {
            Found::NotServed(why) => (*why).to_owned(),
            _ => format!("{resource}.networking.istio.io {name:?} not found"),
        }
    }

    /// What must be answered first.
    pub fn needs(&self) -> Option<Needs> {
        self.reader.needs()
    }

    /// Everything that was asked for, to be watched.
    pub fn watch(&self) -> Vec<Read> {
        self.reader.asked().to_vec()
    }

    /// As [`Self::watch`], at the end of a call.
    pub fn into_watch(self) -> Vec<Read> {
        self.reader.into_watch()
    }
}
