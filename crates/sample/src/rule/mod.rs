//! Rules of guidance: each combines two predictions into one.
//!
//! Each rule is a file here and two lines in this one: its `mod` and its entry in the table of `rules!`.

mod apg;
mod custom;
mod pair;
mod plain;
mod zero_star;

use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use crate::rule::pair::Combine;
use candle_core::Tensor;

pub use crate::rule::custom::Custom;
pub(crate) use crate::rule::pair::Guided;
pub use crate::rule::pair::{PredictionPair, Terms};

/// Makes a variant of [`Rule`] for each rule's settings, in the order in which messages name them.
macro_rules! rules {
    ($($module:ident::$settings:ident,)+) => {
        $(pub use crate::rule::$module::$settings;)+

        /// A rule that combines two predictions into one, with its settings.
        ///
        /// As text: `plain`, `zero-star`, `apg`. The type of each rule's settings lists further texts.
        /// Serde uses the same text.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Rule {
            $(#[doc = concat!("[`", stringify!($settings), "`].")] $settings($settings),)+
            /// Your own rule: see [`Rule::custom`].
            Custom(Custom),
        }

        impl Rule {
            fn combine(&self) -> &dyn Combine {
                match self {
                    $(Self::$settings(settings) => settings,)+
                    Self::Custom(settings) => settings,
                }
            }

            fn read(text: &str) -> Option<Self> {
                None$(.or_else(|| $settings::read(text).map(Self::$settings)))+
            }

            fn texts() -> String {
                [$($settings::texts(),)+].join(", ")
            }

            /// The names that a person can use: what each rule's texts begin with.
            pub fn names() -> Vec<&'static str> {
                [$($settings::texts(),)+].iter().filter_map(|texts| texts.split(' ').next()).collect()
            }
        }

        $(impl From<$settings> for Rule {
            fn from(settings: $settings) -> Self {
                Self::$settings(settings)
            }
        })+
    };
}

rules! {
    plain::Plain,
    zero_star::ZeroStar,
    apg::Apg,
}

impl Rule {
    /// Your own rule. `function` combines a [`PredictionPair`] into one prediction, all in these `terms`.
    ///
    /// It is called for the images whose weight is not 1; with CFG++, for all guided images. Its answer has
    /// the shape of the two predictions. It remembers nothing between steps. Two rules with the same `name`
    /// and `terms` are equal.
    pub fn custom(
        name: &str,
        terms: Terms,
        function: impl Fn(PredictionPair<'_>) -> Result<Tensor, SampleError> + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(Custom::new(name, terms, function))
    }

    /// The terms in which it takes predictions.
    pub fn terms(&self) -> Terms {
        self.combine().terms()
    }

    /// Whether only the free prediction matters at w = 0.
    pub(crate) fn is_free_at_zero(&self) -> bool {
        self.combine().is_free_at_zero()
    }

    /// Whether a step depends on those before it.
    pub(crate) fn remembers(&self) -> bool {
        self.combine().remembers()
    }

    pub(crate) fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError> {
        self.combine().guided(pair)
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self::Plain(Plain)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.combine().fmt(f)
    }
}

impl FromStr for Rule {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        Self::read(text).ok_or_else(|| not_read(text, Self::texts()))
    }
}

duet_schedule::serde_as_text!(Rule);
