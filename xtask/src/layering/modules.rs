//! The modules of a crate, with what each declares and names.

use super::tokens::{Token, tokens};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// All modules that a root file holds; the root is the first.
pub struct Modules(pub Vec<Module>);

/// A module: a file, or a `mod name { … }` in one. What is for tests alone is no part of it.
#[derive(Debug, Default)]
pub struct Module {
    pub file: PathBuf,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    /// Names of the functions, types, constants and macros that it defines.
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths of two parts at least, outside imports.
    pub paths: Vec<Vec<String>>,
    /// Every word outside imports.
    pub words: BTreeSet<String>,
}

/// One name of a `use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub path: Vec<String>,
    /// What it is called here; `*` for all that the path holds.
    pub name: String,
    /// Whether others may use it from here.
    pub public: bool,
}

impl Modules {
    /// Reads `root`, such as `src/lib.rs`, and each file that it declares.
    pub fn read(root: &Path) -> Result<Self> {
        let mut modules = Modules(vec![Module { file: root.into(), ..Module::default() }]);
        let folder = root.parent().context("a root file is in a folder")?;
        modules.read_file(0, folder)?;
        Ok(modules)
    }

    /// `folder` is where the files of the module's own modules are.
    fn read_file(&mut self, module: usize, folder: &Path) -> Result<()> {
        let file = &self.0[module].file;
        let source =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let tokens = tokens(&source);
        let end = tokens.len();
        let mut reader = Reader { tokens, at: 0, end, modules: self, declared: Vec::new() };
        reader.read(module, folder);
        for (module, folder) in reader.declared {
            let name = self.name(module);
            let places = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
            let Some(place) = places.iter().find(|place| place.is_file()) else {
                bail!("there is neither {} nor {}", places[0].display(), places[1].display());
            };
            self.0[module].file = place.clone();
            self.read_file(module, &folder.join(name))?;
        }
        Ok(())
    }

    fn name(&self, module: usize) -> String {
        let parent = self.0[module].parent.unwrap_or(module);
        let named = self.0[parent].children.iter().find(|(_, child)| **child == module);
        named.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// The module that defines what a path names in a module, or that it names itself. `None` for what
    /// is not of this crate, and for what cannot be told.
    pub fn definer(&self, module: usize, path: &[String]) -> Option<usize> {
        self.find(module, path, &mut BTreeSet::new())
    }

    /// `seen` are the names that led here, as two modules may import each other's.
    fn find(&self, module: usize, path: &[String], seen: &mut BTreeSet<(usize, String)>) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.below(0, rest, seen),
            "self" => self.below(module, rest, seen),
            "super" => self.below(self.0[module].parent?, rest, seen),
            name => {
                let own = &self.0[module];
                if let Some(&child) = own.children.get(name) {
                    return self.below(child, rest, seen);
                }
                let import = own.imports.iter().find(|import| import.name == name)?;
                self.imported(module, import, rest, seen)
            }
        }
    }

    fn below(&self, module: usize, path: &[String], seen: &mut BTreeSet<(usize, String)>) -> Option<usize> {
        let Some((first, rest)) = path.split_first() else { return Some(module) };
        let own = &self.0[module];
        match first.as_str() {
            "super" => return self.below(own.parent?, rest, seen),
            "self" | "*" => return self.below(module, rest, seen),
            _ => {}
        }
        if let Some(&child) = own.children.get(first) {
            return self.below(child, rest, seen);
        }
        if own.items.contains(first) {
            return Some(module);
        }
        let named = own.imports.iter().find(|import| import.name == *first);
        if let Some(import) = named {
            // An import of another crate's: the module is where it is had from.
            return Some(self.imported(module, import, rest, seen).unwrap_or(module));
        }
        let globs = own.imports.iter().filter(|import| import.name == "*");
        let sources = globs.filter_map(|import| self.definer(module, &import.path));
        let source = sources.into_iter().find(|source| self.has(*source, first));
        // What no import tells is the module's own: a macro may have made it.
        source.map_or(Some(module), |source| self.below(source, path, seen))
    }

    fn has(&self, module: usize, name: &str) -> bool {
        let own = &self.0[module];
        let imported = own.imports.iter().any(|import| import.name == name);
        own.children.contains_key(name) || own.items.contains(name) || imported
    }

    fn imported(
        &self,
        module: usize,
        import: &Import,
        rest: &[String],
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<usize> {
        if !seen.insert((module, import.name.clone())) {
            return None;
        }
        let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
        self.find(module, &path, seen)
    }
}

/// Goes through the tokens of a file.
struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    end: usize,
    modules: &'a mut Modules,
    /// Modules that have files of their own, and the folder that these are in.
    declared: Vec<(usize, PathBuf)>,
}

/// `a::b::self` is `a::b`, and is called by its last part.
fn import(mut path: Vec<String>, name: Option<String>) -> (Vec<String>, String) {
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let last = path.last().cloned().unwrap_or_default();
    (path, name.unwrap_or(last))
}

/// Words before the name of an item.
const ITEMS: [&str; 10] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules", "mod"];

impl Reader<'_> {
    /// Reads a module to its closing bracket, or to the end.
    fn read(&mut self, module: usize, folder: &Path) {
        let mut depth = 0;
        while self.at < self.end {
            if self.skip_test() {
                continue;
            }
            match &self.tokens[self.at] {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') if depth == 0 => return,
                Token::Sign('}') => depth -= 1,
                Token::Word(word) if word == "use" && !self.next_is_sign('<') => {
                    self.read_import(module);
                    continue;
                }
                Token::Word(word) if word == "mod" && depth == 0 => {
                    self.read_module(module, folder);
                    continue;
                }
                Token::Word(word) => {
                    let word = word.clone();
                    if depth == 0 && ITEMS.contains(&word.as_str()) {
                        self.note_item(module);
                    }
                    self.read_path(module);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn next_is_sign(&self, sign: char) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|token| token.is_sign(sign))
    }

    /// `mod name;` or `mod name { … }`.
    fn read_module(&mut self, module: usize, folder: &Path) {
        self.at += 1;
        let Some(Token::Word(name)) = self.tokens.get(self.at).cloned() else { return };
        let child = self.modules.0.len();
        let file = self.modules.0[module].file.clone();
        self.modules.0.push(Module { file, parent: Some(module), ..Module::default() });
        self.modules.0[module].children.insert(name.clone(), child);
        self.at += 2;
        match self.tokens.get(self.at - 1) {
            Some(Token::Sign('{')) => {
                self.read(child, &folder.join(name));
                self.at += 1;
            }
            _ => self.declared.push((child, folder.to_path_buf())),
        }
    }

    /// The name behind `fn`, `struct` and so on.
    fn note_item(&mut self, module: usize) {
        let name = self.tokens[self.at + 1..].iter().take(2).find_map(|token| match token {
            Token::Word(word) if !["mut", "fn", "unsafe"].contains(&word.as_str()) => Some(word.clone()),
            _ => None,
        });
        self.modules.0[module].items.extend(name);
    }

    /// A word, or `a::b::c` from its start.
    fn read_path(&mut self, module: usize) {
        let before = &self.tokens[self.at.saturating_sub(3)..self.at];
        // The rest of `<T>::a::b` and of `::a::b`, and the place in `pub(in a::b)`.
        let is_rest = before.last() == Some(&Token::PathSeparator);
        let is_place = matches!(before, [public, _, within] if public.is_word("pub") && within.is_word("in"));
        let mut path = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.get(self.at) {
            path.push(word.clone());
            self.at += 1;
            if self.tokens.get(self.at) != Some(&Token::PathSeparator) {
                break;
            }
            self.at += 1;
        }
        let module = &mut self.modules.0[module];
        module.words.extend(path.iter().cloned());
        if path.len() > 1 && !is_rest && !is_place {
            module.paths.push(path);
        }
    }

    /// `use a::{b, c as d};`, with `pub` before it or not.
    fn read_import(&mut self, module: usize) {
        let before = self.at.checked_sub(1).map(|at| &self.tokens[at]);
        let public = before.is_some_and(|token| token.is_word("pub") || token.is_sign(')'));
        self.at += 1;
        let mut imports = Vec::new();
        // `::a` is another crate's.
        let foreign = self.tokens.get(self.at) == Some(&Token::PathSeparator);
        self.read_tree(&[], &mut imports);
        if !foreign {
            let imports = imports.into_iter().map(|(path, name)| Import { path, name, public });
            self.modules.0[module].imports.extend(imports);
        }
    }

    /// One branch of an import's tree; the sign that ends it.
    fn read_tree(&mut self, above: &[String], imports: &mut Vec<(Vec<String>, String)>) -> char {
        let mut path = above.to_vec();
        let mut name = None;
        let mut is_noted = false;
        while self.at < self.end {
            let token = self.tokens[self.at].clone();
            self.at += 1;
            match token {
                Token::Word(word) if word == "as" => name = Some(String::new()),
                Token::Word(word) if name.is_some() => name = Some(word),
                Token::Word(word) => path.push(word),
                Token::Sign('*') => name = Some("*".into()),
                Token::Sign('{') => {
                    while self.at < self.end && self.read_tree(&path, imports) == ',' {}
                    is_noted = true;
                }
                Token::Sign(end @ (',' | '}' | ';')) => {
                    // `{a, b,}` has an empty branch.
                    if !is_noted && path.len() > above.len() || name.is_some() {
                        imports.push(import(path, name));
                    }
                    return end;
                }
                _ => {}
            }
        }
        ';'
    }

    /// Goes past `#[cfg(test)]` and what it stands before.
    fn skip_test(&mut self) -> bool {
        let start = [Token::Sign('#'), Token::Sign('['), Token::Word("cfg".into()), Token::Sign('(')];
        let Some(inside) = self.tokens[self.at..self.end].strip_prefix(&start) else { return false };
        let all = [Token::Word("all".into()), Token::Sign('(')];
        let inside = inside.strip_prefix(&all).unwrap_or(inside);
        let is_test = inside.first().is_some_and(|token| token.is_word("test"))
            && inside.get(1).is_some_and(|token| token.is_sign(')') || token.is_sign(','));
        if !is_test {
            return false;
        }
        self.at += 1;
        self.skip_group();
        while self.tokens.get(self.at).is_some_and(|token| token.is_sign('#')) {
            self.at += 1;
            self.skip_group();
        }
        self.skip_item();
        true
    }

    /// Past an item, or past a field, an arm or a statement.
    fn skip_item(&mut self) {
        let words: Vec<&str> = self.tokens[self.at..self.end]
            .iter()
            .map_while(|token| match token {
                Token::Word(word) => Some(word.as_str()),
                Token::Sign('(' | ')') => Some(""),
                _ => None,
            })
            .filter(|word| !["", "pub", "crate", "super", "in"].contains(word))
            .collect();
        let ends_in_semicolon = match words[..] {
            ["const", second, ..] => !["fn", "unsafe", "extern", "async"].contains(&second),
            [first, ..] => ["use", "static", "type", "let"].contains(&first),
            [] => false,
        };
        let items = ["const", "unsafe", "async", "extern", "impl"];
        let is_item = words.first().is_some_and(|first| ITEMS.contains(first) || items.contains(first));
        while self.at < self.end {
            match self.tokens[self.at] {
                Token::Sign('{') if !ends_in_semicolon => return self.skip_group(),
                Token::Sign('(' | '[' | '{') => self.skip_group(),
                Token::Sign('}' | ')' | ']') => return,
                Token::Sign(';') => return self.at += 1,
                Token::Sign(',') if !is_item && !ends_in_semicolon => return self.at += 1,
                _ => self.at += 1,
            }
        }
    }

    /// Past a bracket and all to the one that closes it.
    fn skip_group(&mut self) {
        let mut depth = 0;
        while self.at < self.end {
            match self.tokens[self.at] {
                Token::Sign('(' | '[' | '{') => depth += 1,
                Token::Sign(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}
