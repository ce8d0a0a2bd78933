//! Words of features: values in a TOML file that are typed on a command line (strings, as `FromStr`
//! and `Display` have them), and arguments whose words come in any order.

use std::{fmt::Display, str::FromStr};

use clap::{Arg, ArgAction, ArgMatches, Command, Error as Refusal, error::ErrorKind};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Adds one argument of at most two words to a command, for a feature whose words come in any order.
pub(crate) fn two_words(
    command: Command,
    name: &'static str,
    help: &'static str,
    more: &'static str,
) -> Command {
    let words = Arg::new("words").value_name(name).help(help).num_args(0..=2);
    command.arg(words.action(ArgAction::Append)).after_long_help(more)
}

/// What `read` makes of these words.
pub(crate) fn typed<T>(
    matches: &ArgMatches,
    read: impl FnOnce(&[String]) -> Result<T, String>,
) -> Result<T, Refusal> {
    let words: Vec<String> = matches.get_many("words").into_iter().flatten().cloned().collect();
    read(&words).map_err(|wrong| Refusal::raw(ErrorKind::ValueValidation, format!("{wrong}\n")))
}

/// Gives a feature its words as arguments: its `from_words` reads what [`two_words`] adds.
macro_rules! takes_two_words {
    ($feature:ty, $name:expr, $help:expr, $more:expr) => {
        impl clap::Args for $feature {
            fn augment_args(command: clap::Command) -> clap::Command {
                $crate::words::two_words(command, $name, $help, $more)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for $feature {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                $crate::words::typed(matches, Self::from_words)
            }

            fn update_from_arg_matches(
                &mut self,
                matches: &clap::ArgMatches,
            ) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}
pub(crate) use takes_two_words;

/// One value.
pub(crate) mod one {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A list of values.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let words = Vec::<String>::deserialize(deserializer)?;
        words.iter().map(|word| word.parse().map_err(D::Error::custom)).collect()
    }
}

/// A value that may be missing.
pub(crate) mod maybe {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
    }
}
