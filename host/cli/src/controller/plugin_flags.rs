//! Upstream's flags about routers, for the plugins that ask for them. Which there are is data: the host names no plugin.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use sluice_api::upstream::{self, Flag};

/// Their values by name; only those that were given, since defaults are the plugins'.
#[derive(Clone, Debug, Default)]
pub(super) struct PluginFlags(pub(super) BTreeMap<String, String>);

impl FromArgMatches for PluginFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for flag in upstream::flags() {
            if let Some(values) = matches.get_many::<String>(&flag.name) {
                let values: Vec<&str> = values.map(String::as_str).collect();
                self.0.insert(flag.name.clone(), values.join(","));
            }
        }
        Ok(())
    }
}

impl Args for PluginFlags {
    fn augment_args(command: Command) -> Command {
        command
            .next_help_heading("Settings of plugins")
            .args(upstream::flags().iter().map(argument))
            .next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(flag: &'static Flag) -> Arg {
    let argument = Arg::new(flag.name.as_str())
        .long(flag.name.as_str())
        .visible_aliases(flag.alias.as_deref())
        .help(flag.help.as_str())
        .value_name(if flag.boolean { "BOOL" } else { "VALUE" });
    if flag.boolean {
        argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else if flag.list {
        argument.action(ArgAction::Append).value_delimiter(',')
    } else {
        argument
    }
}
