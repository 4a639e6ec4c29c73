//! `#[derive(Module)]` for tinytorch: visits a struct's fields in declaration order.
//!
//! A field is visited as a module under its own name, unless it is marked `#[module(config)]` (a
//! hyper-parameter: reported to visitors through `Debug`), `#[module(flag)]` (a `bool` of the layer's
//! state: reported likewise, and shown to visitors that change the model) or `#[module(skip)]` (not
//! visited). A unit struct is a module without fields.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, parse_macro_input};

/// Implements `tinytorch::nn::Module` for a struct with named fields or without fields.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

#[derive(PartialEq)]
enum Use {
    Module,
    Config,
    Flag,
    Skip,
}

fn use_of(field: &Field) -> Result<Use, Error> {
    let mut found = Use::Module;
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("module")) {
        attr.parse_nested_meta(|meta| {
            found = match () {
                () if meta.path.is_ident("config") => Use::Config,
                () if meta.path.is_ident("flag") => Use::Flag,
                () if meta.path.is_ident("skip") => Use::Skip,
                () => return Err(meta.error("expected `config`, `flag` or `skip`")),
            };
            Ok(())
        })?;
    }
    Ok(found)
}

fn expand(input: &DeriveInput) -> Result<TokenStream, Error> {
    let fields = match &input.data {
        Data::Struct(data) if !matches!(data.fields, Fields::Unnamed(_)) => &data.fields,
        Data::Struct(_) => {
            return Err(Error::new_spanned(input, "derive(Module) needs named fields"));
        }
        _ => return Err(Error::new_spanned(input, "derive(Module) is for structs")),
    };
    let mut config: Vec<&Ident> = Vec::new();
    let mut flags: Vec<&Ident> = Vec::new();
    let mut modules: Vec<&Ident> = Vec::new();
    for field in fields {
        let Some(name) = &field.ident else { continue };
        match use_of(field)? {
            Use::Module => modules.push(name),
            Use::Config => config.push(name),
            Use::Flag => {
                config.push(name);
                flags.push(name);
            }
            Use::Skip => {}
        }
    }
    let kind = &input.ident;
    let (generics, types, bounds) = input.generics.split_for_impl();
    let nn = quote!(::tinytorch::nn);
    let text = |names: &[&Ident]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let (config_text, flag_text, module_text) = (text(&config), text(&flags), text(&modules));
    Ok(quote! {
        impl #generics #nn::Module for #kind #types #bounds {
            fn visit<'a>(&'a self, path: &mut #nn::Path, visitor: &mut dyn #nn::Visitor<'a>) {
                let layer = #nn::LayerInfo { kind: stringify!(#kind), config: ::std::vec::Vec::new() };
                visitor.layer(path, layer #(.with(#config_text, &self.#config))*);
                #(path.within(#flag_text, |path| visitor.flag(path, self.#flags));)*
                #(path.within(#module_text, |path| #nn::Module::visit(&self.#modules, path, visitor));)*
            }

            fn visit_mut<'a>(
                &'a mut self,
                path: &mut #nn::Path,
                visitor: &mut dyn #nn::VisitorMut<'a>,
            ) {
                let _ = (&path, &visitor);
                #(path.within(#flag_text, |path| visitor.flag(path, &mut self.#flags));)*
                #(path.within(#module_text, |path| {
                    #nn::Module::visit_mut(&mut self.#modules, path, visitor)
                });)*
            }
        }
    })
}
