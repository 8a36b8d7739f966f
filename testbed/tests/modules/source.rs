//! The modules of a crate and their uses of each other, read from the source files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// The path of a module or an item from the root of the crate.
type Names = Vec<String>;

/// The modules of a crate by path; the path of the root is empty.
#[derive(Debug, Default)]
pub struct Crate(BTreeMap<Names, Module>);

#[derive(Debug, Default)]
struct Module {
    /// The names that `use` imports, with their paths.
    imported: BTreeMap<String, Names>,
    globs: Vec<Names>,
    /// The paths in the code, as written.
    written: Vec<Names>,
}

/// The longest chain of imports that is followed.
const LONGEST: usize = 16;

impl Crate {
    pub fn read(root: &Path) -> Crate {
        let mut all = Crate::default();
        let dir = root.parent().unwrap();
        all.add_file(root, dir, &[]);
        all
    }

    pub fn modules(&self) -> impl Iterator<Item = &Names> {
        self.0.keys()
    }

    /// Each use of one module's items by another module.
    pub fn uses(&self) -> Vec<(Names, Names)> {
        let mut uses = Vec::new();
        for (from, module) in &self.0 {
            let imported = module.imported.values().chain(&module.globs);
            for path in imported.chain(&module.written) {
                let absolute = self.absolute(from, path);
                if let Some(to) = absolute.and_then(|path| self.target(&path, LONGEST))
                    && to != *from
                {
                    uses.push((from.clone(), to));
                }
            }
        }
        uses
    }

    fn add_file(&mut self, file: &Path, children: &Path, path: &[String]) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        self.add_items(&parsed.items, file.parent().unwrap(), children, path);
    }

    fn add_items(&mut self, items: &[Item], dir: &Path, children: &Path, path: &[String]) {
        let mut module = Module::default();
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let path: Names = path.iter().cloned().chain([name.clone()]).collect();
                    if let Some((_, items)) = &child.content {
                        self.add_items(items, dir, &children.join(&name), &path);
                        continue;
                    }
                    let (file, children) = match path_attribute(&child.attrs) {
                        Some(given) => {
                            let file = dir.join(given);
                            let children = file.parent().unwrap().to_owned();
                            (file, children)
                        }
                        None => file_of(children, &name),
                    };
                    self.add_file(&file, &children, &path);
                }
                Item::Use(item) => module.import(&item.tree, &mut Vec::new()),
                item => module.visit_item(item),
            }
        }
        self.0.insert(path.to_vec(), module);
    }

    /// A path from the root of the crate; none if it is external or local.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let mut start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => from.split_last()?.1.to_vec(),
            name => {
                let child: Names = from.iter().cloned().chain([name.to_owned()]).collect();
                let here = self.0.get(from)?;
                let is_self = |found: &&Names| found.first().is_none_or(|first| first != name);
                match self.0.contains_key(&child) {
                    true => child,
                    false => self.absolute(from, here.imported.get(name).filter(is_self)?)?,
                }
            }
        };
        for name in rest {
            match name.as_str() {
                "super" => drop(start.pop()),
                "self" => {}
                name => start.push(name.to_owned()),
            }
        }
        Some(start)
    }

    /// The module that defines the item of a path, also through re-exports.
    fn target(&self, path: &[String], longest: usize) -> Option<Names> {
        let longest = longest.checked_sub(1)?;
        let known = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(known);
        let Some((name, more)) = rest.split_first() else { return Some(module.to_vec()) };
        let here = &self.0[module];
        let through = |path: &Names| {
            let absolute = self.absolute(module, path)?;
            self.target(&[absolute, more.to_vec()].concat(), longest)
        };
        let imported = here.imported.get(name).and_then(through);
        imported.or_else(|| Some(module.to_vec()))
    }
}

impl Module {
    fn import(&mut self, tree: &UseTree, before: &mut Names) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before);
                before.pop();
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.imported.insert(before.last().cloned().unwrap_or_default(), before.clone());
            }
            UseTree::Name(name) => self.name(name.ident.to_string(), &name.ident, before),
            UseTree::Rename(rename) => {
                self.name(rename.rename.to_string(), &rename.ident, before);
            }
            UseTree::Glob(_) => self.globs.push(before.clone()),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, before));
            }
        }
    }

    fn name(&mut self, here: String, there: &syn::Ident, before: &[String]) {
        let path = before.iter().cloned().chain([there.to_string()]).collect();
        self.imported.insert(here, path);
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.written.push(path.segments.iter().map(|part| part.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// The content of a macro is not parsed: paths from the crate's root are found as text.
    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        let text = found.tokens.to_token_stream().to_string();
        let words: Vec<&str> = text.split_whitespace().collect();
        for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "crate") {
            let path = words[at..].chunks(2);
            let path = path.take_while(|pair| pair.get(1) == Some(&"::"));
            let next = words.get(at + 2 * path.clone().count());
            let names = path.map(|pair| pair[0].to_owned());
            self.written.push(names.chain(next.map(|word| (*word).to_owned())).collect());
        }
        visit::visit_macro(self, found);
    }
}

/// The file of a module, and the directory of its submodules.
fn file_of(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let children = dir.join(name);
    let file = dir.join(format!("{name}.rs"));
    match file.exists() {
        true => (file, children),
        false => (children.join("mod.rs"), children),
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]` and `#[test]`
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text == "test" || text.replace(' ', "") == "cfg(test)"
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let text = found.meta.to_token_stream().to_string();
    Some(text.split('"').nth(1)?.to_owned())
}
