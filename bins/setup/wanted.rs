//! A feature's words, or `off`: the same choice on a command line and in a TOML file.

use std::{fmt, marker::PhantomData};

use clap::{ArgMatches, Args, FromArgMatches, error::ErrorKind, parser::ValueSource};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use vfio_cli::Global;

/// What is wanted of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<T> {
    /// It, as these words say.
    On(T),
    /// Not to have it.
    Off,
}

impl<T> Wanted<T> {
    /// How it is wanted; `None` when it is not.
    #[must_use]
    pub fn words(&self) -> Option<&T> {
        match self {
            Self::On(words) => Some(words),
            Self::Off => None,
        }
    }
}

impl<T: Args> Args for Wanted<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
        let alone = clap::Command::new("words").bin_name(&name);
        let usage = Global::augment_args(T::augment_args(alone)).render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        T::augment_args(command)
            .override_usage(format!("{usage}\n       {name} off"))
            .subcommand_negates_reqs(true)
            .subcommand_precedence_over_arg(true)
            .disable_help_subcommand(true)
            .subcommand_help_heading("Or")
            .subcommand(clap::Command::new("off").about("Take it away again"))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<T: Args> FromArgMatches for Wanted<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand_name().is_none() {
            return T::from_arg_matches(matches).map(Self::On);
        }
        let mut words = T::augment_args(clap::Command::new("words"));
        words.build();
        let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        match words.get_arguments().find(|word| typed(word.get_id().as_str())) {
            None => Ok(Self::Off),
            Some(word) => {
                let told = format!("`off` stands alone, without {word}\n");
                Err(clap::Error::raw(ErrorKind::ArgumentConflict, told))
            }
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Serialize> Serialize for Wanted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On(words) => words.serialize(serializer),
            Self::Off => serializer.serialize_str("off"),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wanted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TableOrOff(PhantomData))
    }
}

struct TableOrOff<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableOrOff<T> {
    type Value = Wanted<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, or \"off\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted<T>, E> {
        match text {
            "off" => Ok(Wanted::Off),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Wanted<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(Wanted::On)
    }
}
