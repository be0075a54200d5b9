//! Puts a meter into a template: whatever may take memory or time goes through it.
//!
//! The engine counts instructions, not bytes, so a template of thirty instructions could double a text thirty times.
//! Here the parsed template is copied, with a call of the meter ([`super::meter`]) around the operands of everything
//! that reads or joins values. A template cannot spell the names of these calls.

use minijinja::machinery::ast::{
    BinOp, BinOpKind, Call, CallArg, CallBlock, Compare, CompareOp, Const, Do, EmitExpr, Expr, Filter, FilterBlock,
    ForLoop, GetAttr, GetItem, IfCond, IfExpr, List, Macro, Map, Set, SetBlock, Slice, Spanned, Stmt, Template, Test,
    Tuple, UnaryOp, UnaryOpKind, Var, WithBlock,
};
use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind, Value};

use super::meter::{COUNT, KEEP, TIMES, WEIGH};

/// Operators, brackets and the like within one tag: a chain of them is a tree of that depth, and its walkers recurse.
const TAG_OPERATORS_MAX: usize = 400;

/// Branches of one template: the parser makes a chain of `elif` a tree of that depth.
const BRANCHES_MAX: usize = 200;

/// Filters that look at no more than one end of what they are given.
const CHEAP_FILTERS: [&str; 6] = ["length", "count", "first", "last", "default", "d"];

/// Filters that pass on what is in a list, without reading it.
const LIST_FILTERS: [&str; 3] = ["list", "reverse", "items"];

/// Tests of what a value is, not of what it says.
const CHEAP_TESTS: [&str; 14] = [
    "defined",
    "undefined",
    "none",
    "string",
    "mapping",
    "iterable",
    "sequence",
    "boolean",
    "true",
    "false",
    "number",
    "integer",
    "int",
    "float",
];

type Result<T> = std::result::Result<T, Error>;

fn refused(what: &'static str) -> Error {
    Error::new(ErrorKind::SyntaxError, what)
}

/// Refuses a source on whose tree a recursion could run out of stack.
pub(super) fn check_depth(source: &str, syntax: &SyntaxConfig) -> Result<()> {
    let (mut operators, mut branches) = (0, 0);
    for token in tokenize(source, false, syntax.clone()) {
        match token?.0 {
            Token::VariableStart | Token::BlockStart => operators = 0,
            Token::Ident("elif") => branches += 1,
            Token::Ident("and" | "or" | "not" | "is" | "in" | "if" | "else") => operators += 1,
            Token::Ident(_) | Token::Str(_) | Token::String(_) | Token::Comma | Token::Colon => {}
            Token::Int(_) | Token::Int128(_) | Token::Float(_) | Token::TemplateData(_) => {}
            _ => operators += 1,
        }
        if operators > TAG_OPERATORS_MAX || branches > BRANCHES_MAX {
            return Err(refused("too many operators in one tag, or too many branches"));
        }
    }
    Ok(())
}

/// The template with its meter.
pub(super) fn guard<'a>(template: &Stmt<'a>) -> Result<Stmt<'a>> {
    match template {
        Stmt::Template(root) => Ok(Stmt::Template(at(root, Template { children: body(&root.children)? }))),
        other => statement(other),
    }
}

fn at<T, U>(old: &Spanned<T>, new: U) -> Spanned<U> {
    Spanned::new(new, old.span())
}

fn body<'a>(statements: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>> {
    statements.iter().map(statement).collect()
}

fn statement<'a>(old: &Stmt<'a>) -> Result<Stmt<'a>> {
    Ok(match old {
        Stmt::EmitExpr(emit) => Stmt::EmitExpr(at(emit, EmitExpr { expr: metered(WEIGH, &emit.expr)? })),
        Stmt::EmitRaw(emit) => {
            let text = Expr::Const(at(emit, Const { value: Value::from(emit.raw) }));
            Stmt::EmitExpr(at(emit, EmitExpr { expr: metered(WEIGH, &text)? }))
        }
        Stmt::ForLoop(old) => Stmt::ForLoop(at(
            old,
            ForLoop {
                target: expression(&old.target)?,
                iter: metered(COUNT, &old.iter)?,
                filter_expr: optional(&old.filter_expr)?,
                recursive: old.recursive,
                body: body(&old.body)?,
                else_body: body(&old.else_body)?,
            },
        )),
        Stmt::IfCond(old) => {
            let (true_body, false_body) = (body(&old.true_body)?, body(&old.false_body)?);
            Stmt::IfCond(at(old, IfCond { expr: expression(&old.expr)?, true_body, false_body }))
        }
        Stmt::WithBlock(old) => {
            let pairs = old.assignments.iter().map(|(name, value)| Ok((expression(name)?, expression(value)?)));
            Stmt::WithBlock(at(old, WithBlock { assignments: pairs.collect::<Result<_>>()?, body: body(&old.body)? }))
        }
        Stmt::Set(old) => {
            // What a namespace keeps outlives the loop, and may hold what it held before.
            let expr = match &old.target {
                Expr::GetAttr(_) => metered(KEEP, &old.expr)?,
                _ => expression(&old.expr)?,
            };
            Stmt::Set(at(old, Set { target: expression(&old.target)?, expr }))
        }
        Stmt::SetBlock(old) => {
            let (target, filter) = (expression(&old.target)?, optional(&old.filter)?);
            Stmt::SetBlock(at(old, SetBlock { target, filter, body: body(&old.body)? }))
        }
        Stmt::FilterBlock(old) => {
            Stmt::FilterBlock(at(old, FilterBlock { filter: expression(&old.filter)?, body: body(&old.body)? }))
        }
        Stmt::Macro(old) => Stmt::Macro(at(old, macro_of(old)?)),
        Stmt::CallBlock(old) => {
            let (call, macro_decl) = (at(&old.call, call_of(&old.call)?), macro_of(&old.macro_decl)?);
            Stmt::CallBlock(at(old, CallBlock { call, macro_decl: at(&old.macro_decl, macro_decl) }))
        }
        Stmt::Do(old) => Stmt::Do(at(old, Do { call: at(&old.call, call_of(&old.call)?) })),
        Stmt::Continue(old) => Stmt::Continue(at(old, minijinja::machinery::ast::Continue)),
        Stmt::Break(old) => Stmt::Break(at(old, minijinja::machinery::ast::Break)),
        Stmt::Template(old) => Stmt::Template(at(old, Template { children: body(&old.children)? })),
        Stmt::AutoEscape(_) => return Err(refused("`autoescape` is not supported in a chat template")),
        _ => return Err(refused("a chat template cannot be made of several templates or blocks")),
    })
}

fn macro_of<'a>(old: &Macro<'a>) -> Result<Macro<'a>> {
    Ok(Macro { name: old.name, args: all(&old.args)?, defaults: all(&old.defaults)?, body: body(&old.body)? })
}

fn all<'a>(old: &[Expr<'a>]) -> Result<Vec<Expr<'a>>> {
    old.iter().map(expression).collect()
}

fn optional<'a>(old: &Option<Expr<'a>>) -> Result<Option<Expr<'a>>> {
    old.as_ref().map(expression).transpose()
}

/// A call of the meter with these values, none of which is a constant any more.
fn through<'a>(meter: &'static str, values: Vec<Expr<'a>>, span: Span) -> Expr<'a> {
    let expr = Expr::Var(Spanned::new(Var { id: meter }, span));
    Expr::Call(Spanned::new(Call { expr, args: values.into_iter().map(CallArg::Pos).collect() }, span))
}

fn metered<'a>(meter: &'static str, old: &Expr<'a>) -> Result<Expr<'a>> {
    Ok(through(meter, vec![expression(old)?], old.span()))
}

fn all_metered<'a>(meter: &'static str, old: &[Expr<'a>]) -> Result<Vec<Expr<'a>>> {
    old.iter().map(|item| metered(meter, item)).collect()
}

fn arguments<'a>(meter: &'static str, old: &[CallArg<'a>]) -> Result<Vec<CallArg<'a>>> {
    let argument = |argument: &CallArg<'a>| {
        Ok(match argument {
            CallArg::Pos(value) => CallArg::Pos(metered(meter, value)?),
            CallArg::Kwarg(name, value) => CallArg::Kwarg(name, metered(meter, value)?),
            _ => return Err(refused("`*` and `**` before arguments are not supported in a chat template")),
        })
    };
    old.iter().map(argument).collect()
}

fn call_of<'a>(old: &Call<'a>) -> Result<Call<'a>> {
    let expr = match &old.expr {
        // A method reads its object.
        Expr::GetAttr(attribute) if !matches!(&attribute.expr, Expr::Var(var) if var.id == "self") => {
            let meter = if attribute.name == "count" { WEIGH } else { COUNT };
            let expr = metered(meter, &attribute.expr)?;
            Expr::GetAttr(at(attribute, GetAttr { expr, name: attribute.name }))
        }
        other => expression(other)?,
    };
    Ok(Call { expr, args: arguments(COUNT, &old.args)? })
}

fn filter_of<'a>(old: &Filter<'a>) -> Result<Filter<'a>> {
    let expr = match &old.expr {
        None => None,
        Some(value) if CHEAP_FILTERS.contains(&old.name) => Some(expression(value)?),
        Some(value) if LIST_FILTERS.contains(&old.name) => Some(metered(COUNT, value)?),
        Some(value) => Some(metered(WEIGH, value)?),
    };
    Ok(Filter { name: old.name, expr, args: arguments(WEIGH, &old.args)? })
}

fn operator_of<'a>(old: &Spanned<BinOp<'a>>) -> Result<Expr<'a>> {
    let (op, meter) = (old.op, |value| metered(WEIGH, value));
    let (left, right) = match op {
        BinOpKind::ScAnd | BinOpKind::ScOr => (expression(&old.left)?, expression(&old.right)?),
        BinOpKind::Mul => {
            return Ok(through(TIMES, vec![expression(&old.left)?, expression(&old.right)?], old.span()));
        }
        _ => (meter(&old.left)?, meter(&old.right)?),
    };
    Ok(Expr::BinOp(at(old, BinOp { op, left, right })))
}

fn expression<'a>(old: &Expr<'a>) -> Result<Expr<'a>> {
    Ok(match old {
        Expr::Var(old) => Expr::Var(at(old, Var { id: old.id })),
        Expr::Const(old) => Expr::Const(at(old, Const { value: old.value.clone() })),
        Expr::Slice(old) => {
            let (start, stop, step) = (optional(&old.start)?, optional(&old.stop)?, optional(&old.step)?);
            Expr::Slice(at(old, Slice { expr: metered(COUNT, &old.expr)?, start, stop, step }))
        }
        Expr::UnaryOp(old) => {
            let is_not = matches!(old.op, UnaryOpKind::Not);
            let op = if is_not { UnaryOpKind::Not } else { UnaryOpKind::Neg };
            Expr::UnaryOp(at(old, UnaryOp { op, expr: expression(&old.expr)? }))
        }
        Expr::BinOp(old) => operator_of(old)?,
        Expr::Compare(old) => {
            let ops = old.ops.iter().map(|next| Ok(CompareOp { op: next.op, expr: metered(WEIGH, &next.expr)? }));
            Expr::Compare(at(old, Compare { expr: metered(WEIGH, &old.expr)?, ops: ops.collect::<Result<_>>()? }))
        }
        Expr::IfExpr(old) => {
            let (test_expr, true_expr) = (expression(&old.test_expr)?, expression(&old.true_expr)?);
            Expr::IfExpr(at(old, IfExpr { test_expr, true_expr, false_expr: optional(&old.false_expr)? }))
        }
        Expr::Filter(old) => Expr::Filter(at(old, filter_of(old)?)),
        Expr::Test(old) => {
            let is_cheap = CHEAP_TESTS.contains(&old.name);
            let expr = if is_cheap { expression(&old.expr)? } else { metered(WEIGH, &old.expr)? };
            let args = arguments(WEIGH, &old.args)?;
            Expr::Test(at(old, Test { name: old.name, expr, args }))
        }
        Expr::GetAttr(old) => Expr::GetAttr(at(old, GetAttr { expr: expression(&old.expr)?, name: old.name })),
        Expr::GetItem(old) => {
            let subscript_expr = metered(WEIGH, &old.subscript_expr)?;
            Expr::GetItem(at(old, GetItem { expr: expression(&old.expr)?, subscript_expr }))
        }
        Expr::Call(old) => Expr::Call(at(old, call_of(old)?)),
        Expr::List(old) => Expr::List(at(old, List { items: all_metered(COUNT, &old.items)? })),
        Expr::Tuple(old) => Expr::Tuple(at(old, Tuple { items: all_metered(COUNT, &old.items)? })),
        Expr::Map(old) => {
            let (keys, values) = (all_metered(WEIGH, &old.keys)?, all_metered(COUNT, &old.values)?);
            Expr::Map(at(old, Map { keys, values }))
        }
    })
}
