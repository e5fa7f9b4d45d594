"""Runs functions of a PowerShell script where there is no PowerShell: the part of the language that they use.

The text is parsed by tree-sitter's grammar. What is not known here raises `NotKnown` and is never guessed, so
that a script which goes beyond this part fails its tests. What trips people in PowerShell is kept: everything
that a statement leaves goes into the function's output, a returned list is unrolled, variables of callers are
seen, names are read in any case. The .NET members are in `tests.support.dotnet`.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import tree_sitter
import tree_sitter_powershell

from tests.support.dotnet import VOID, ArrayList, Dotnet, NotKnown

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


@dataclass(slots=True, eq=False)
class Node:
    """One of the parser's, read once: asking the parser again for each visit is most of the time of a run."""

    type: str
    text: bytes
    start_byte: int
    end_byte: int
    start_point: tuple[int, int]
    is_named: bool
    is_broken: bool
    children: list["Node"] = field(default_factory=list)
    named_children: list["Node"] = field(default_factory=list)


@cache
def parsed(text: str) -> Node:
    """The script's tree, which nobody changes."""
    return _read(_PARSER.parse(text.encode()).root_node)


def _read(found: tree_sitter.Node) -> Node:
    node = Node(
        found.type,
        found.text or b"",
        found.start_byte,
        found.end_byte,
        (found.start_point.row, found.start_point.column),
        found.is_named,
        found.is_error or found.is_missing,
    )
    node.children = [_read(child) for child in found.children]
    node.named_children = [child for child in node.children if child.is_named]
    return node


def nodes(root: Node) -> Iterator[Node]:
    """The node and everything below it, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


class Thrown(Exception):
    """A `throw` that nobody caught; its argument is what was thrown."""


class _Return(Exception):
    pass


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


@dataclass
class Scope:
    """Variables by their names in lower case; what is not here is looked up where the call came from."""

    parent: "Scope | None" = None
    values: dict[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> Any:
        """The value; raises NotKnown."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        raise NotKnown(f"${name} was never set (strict mode)")


_CONSTANTS = {"null": None, "true": True, "false": False}


def text_of(node: Node) -> str:
    """What stands there."""
    return node.text.decode()


def unrolled(value: Any) -> list[Any]:
    """What goes down the pipeline for this value."""
    if value is VOID:
        return []
    return list(value) if isinstance(value, list | bytearray | ArrayList) else [value]


def collected(output: list[Any]) -> Any:
    """What an assignment gets of an output."""
    if not output:
        return None
    return output[0] if len(output) == 1 else list(output)


@dataclass(frozen=True)
class _Function:
    parameters: tuple[tuple[str, str], ...]  # name in lower case, and type
    body: Node


@cache
def _functions(text: str) -> dict[str, _Function]:
    found = {}
    for node in nodes(parsed(text)):
        if node.type == "function_statement":
            (name,) = (child for child in node.children if child.type == "function_name")
            (body,) = (child for child in node.children if child.type == "script_block")
            parameters = tuple(_parameter(each) for each in nodes(node) if each.type == "script_parameter")
            found[text_of(name).lower()] = _Function(parameters, body)
    return found


def _parameter(node: Node) -> tuple[str, str]:
    (variable,) = (child for child in node.children if child.type == "variable")
    kind = next(text_of(each) for each in nodes(node) if each.type == "type_spec")
    return text_of(variable)[1:].lower(), kind


class PowerShell:
    """The functions of one script."""

    def __init__(self, text: str, dotnet: Dotnet | None = None) -> None:
        self._dotnet = dotnet or Dotnet()
        self._functions = _functions(text)

    def call(self, name: str, *arguments: Any) -> Any:
        """What the function returns, as an assignment would get it; raises Thrown or a DotnetError."""
        return collected(self._call(name, list(arguments), Scope()))

    def _call(self, name: str, arguments: list[Any], caller: Scope) -> list[Any]:
        function = self._functions.get(name.lower())
        if function is None:
            return self._dotnet.command(name, arguments)
        scope = Scope(caller)
        if len(arguments) != len(function.parameters):
            raise NotKnown(f"{name} takes {len(function.parameters)} arguments, not {len(arguments)}")
        for (variable, kind), argument in zip(function.parameters, arguments, strict=True):
            scope.values[variable] = self._dotnet.cast(kind, argument)
        output: list[Any] = []
        with suppress(_Return):
            self._run(function.body, scope, output)
        return output

    def _run(self, node: Node, scope: Scope, output: list[Any]) -> None:
        handler: Callable[[Node, Scope, list[Any]], None] | None = getattr(self, f"_do_{node.type}", None)
        if handler is None:
            raise NotKnown(f"{node.type}: {text_of(node)[:60]}")
        handler(node, scope, output)

    def _do_script_block(self, node: Node, scope: Scope, output: list[Any]) -> None:
        for child in node.named_children:
            if child.type not in {"comment", "param_block"}:
                self._run(child, scope, output)

    _do_script_block_body = _do_statement_list = _do_statement_block = _do_script_block

    def _do_pipeline(self, node: Node, scope: Scope, output: list[Any]) -> None:
        (inner,) = node.named_children
        if inner.type == "pipeline_chain":
            (inner,) = inner.named_children
        if inner.type == "command":
            output += self._command(inner, scope)
        elif inner.type == "assignment_expression":
            self._assign(inner, scope)
        else:
            output += unrolled(self._value(inner, scope))

    def _do_if_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        condition, block, *others = node.named_children
        if self._is_true(condition, scope):
            self._run(block, scope, output)
        for other in others:
            raise NotKnown(f"{other.type}: {text_of(other)[:60]}")

    def _do_while_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        condition, block = node.named_children
        self._loop(lambda: self._is_true(condition.named_children[0], scope), block, scope, output)

    def _do_for_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        first, condition, step, block = node.named_children
        for each in first.named_children:
            self._assign(each, scope) if each.type == "assignment_expression" else self._run(each, scope, [])
        while self._is_true(condition.named_children[0], scope):
            self._run(block, scope, output)
            self._value(step.named_children[0], scope)

    def _do_foreach_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        variable, source, block = node.named_children
        items = iter(unrolled(self._value(source, scope)))

        def has_next() -> bool:
            for item in items:
                scope.values[text_of(variable)[1:].lower()] = item
                return True
            return False

        self._loop(has_next, block, scope, output)

    def _loop(self, has_next: Callable[[], bool], block: Node, scope: Scope, output: list[Any]) -> None:
        while has_next():
            try:
                self._run(block, scope, output)
            except _Continue:
                continue
            except _Break:
                break

    def _do_flow_control_statement(self, node: Node, scope: Scope, output: list[Any]) -> None:
        word = node.children[0].type.lower()
        if word == "return":
            for each in node.named_children:
                self._run(each, scope, output)
            raise _Return
        if word == "throw":
            raise Thrown(self._value(node.named_children[0], scope))
        raise {"break": _Break, "continue": _Continue}[word]

    def _assign(self, node: Node, scope: Scope) -> None:
        left, operator, right = node.named_children
        variable = left
        while variable.type != "variable":
            (variable,) = variable.named_children
        if text_of(operator) != "=":
            raise NotKnown(text_of(operator))
        value = self._value(right, scope)
        if value is VOID:
            raise NotKnown(f"nothing is assigned: {text_of(node)[:60]}")
        scope.values[text_of(variable)[1:].lower()] = value

    def _command(self, node: Node, scope: Scope) -> list[Any]:
        name, *rest = node.named_children
        arguments = []
        for element in rest[0].named_children if rest else []:
            if element.type == "generic_token":
                if "::" in text_of(element):  # a text to PowerShell, not a member
                    raise NotKnown(text_of(element))
                arguments.append(text_of(element))
            elif element.type != "command_argument_sep":
                arguments.append(self._value(element, scope))
        return self._call(text_of(name), arguments, scope)

    def _is_true(self, node: Node, scope: Scope) -> bool:
        value = self._value(node, scope)
        if not isinstance(value, bool):
            raise NotKnown(f"a condition that is {value!r}: {text_of(node)[:60]}")
        return value

    def _value(self, node: Node, scope: Scope) -> Any:
        handler: Callable[[Node, Scope], Any] | None = getattr(self, f"_of_{node.type}", None)
        if handler is not None:
            return handler(node, scope)
        if len(node.children) == 1 and node.is_named:
            return self._value(node.children[0], scope)
        if len(node.children) >= 3 and len(node.named_children) >= 2:
            return self._binary(node, scope)
        raise NotKnown(f"{node.type}: {text_of(node)[:60]}")

    def _binary(self, node: Node, scope: Scope) -> Any:
        left, operator, right = node.children
        word = text_of(operator).lower()
        if word in {"-and", "-or"}:
            first = self._is_true(left, scope)
            return self._is_true(right, scope) if first is (word == "-and") else first
        return self._dotnet.operator(word, self._value(left, scope), self._value(right, scope))

    def _of_pipeline(self, node: Node, scope: Scope) -> Any:
        (inner,) = node.named_children
        if inner.type == "pipeline_chain":
            (inner,) = inner.named_children
        return (
            collected(self._command(inner, scope)) if inner.type == "command" else self._value(inner, scope)
        )

    def _of_parenthesized_expression(self, node: Node, scope: Scope) -> Any:
        return self._value(node.named_children[0], scope)

    def _of_array_expression(self, node: Node, scope: Scope) -> Any:
        output: list[Any] = []
        for each in node.named_children:
            self._run(each, scope, output)
        return output

    def _of_array_literal_expression(self, node: Node, scope: Scope) -> Any:
        values = [self._value(each, scope) for each in node.named_children]
        return values[0] if len(values) == 1 else values

    def _of_hash_literal_expression(self, node: Node, scope: Scope) -> Any:
        entries = [each for body in node.named_children for each in body.named_children]
        return {
            text_of(each.named_children[0]): self._value(each.named_children[1], scope) for each in entries
        }

    def _of_variable(self, node: Node, scope: Scope) -> Any:
        name = text_of(node)[1:].lower()
        return _CONSTANTS[name] if name in _CONSTANTS else scope.read(name)

    def _of_decimal_integer_literal(self, node: Node, _scope: Scope) -> Any:
        return int(text_of(node))

    def _of_string_literal(self, node: Node, scope: Scope) -> Any:
        (inner,) = node.children
        text = text_of(inner)
        if inner.type == "verbatim_string_characters":
            return text[1:-1].replace("''", "'")
        if inner.type != "expandable_string_literal":
            return self._value(inner, scope)
        raw, place, found = inner.text or b"", 1, ""
        for child in inner.named_children:
            start, end = child.start_byte - inner.start_byte, child.end_byte - inner.start_byte
            inside = child.named_children[0].named_children[0] if child.type == "sub_expression" else child
            found += self.escape(raw[place:start].decode()) + self._dotnet.text(self._value(inside, scope))
            place = end
        return found + self.escape(raw[place:-1].decode())

    def escape(self, text: str) -> str:
        """What a backtick makes of the next sign; raises NotKnown."""
        if "`" in text:
            raise NotKnown(text[:60])
        return text

    def _of_expression_with_unary_operator(self, node: Node, scope: Scope) -> Any:
        if len(node.children) == 1:
            return self._value(node.children[0], scope)
        operator, operand = node.children
        match text_of(operator).lower():
            case ",":
                return [self._value(operand, scope)]
            case "-not":
                return not self._is_true(operand, scope)
        raise NotKnown(text_of(node)[:60])

    def _of_cast_expression(self, node: Node, scope: Scope) -> Any:
        kind, operand = node.named_children
        return self._dotnet.cast(text_of(kind)[1:-1], self._value(operand, scope))

    def _of_post_increment_expression(self, node: Node, scope: Scope) -> Any:
        (variable,) = node.named_children
        scope.values[text_of(variable)[1:].lower()] = self._value(variable, scope) + 1
        return VOID

    def _of_element_access(self, node: Node, scope: Scope) -> Any:
        target, index = node.named_children
        return self._dotnet.element(self._value(target, scope), self._value(index, scope))

    def _of_member_access(self, node: Node, scope: Scope) -> Any:
        target, member = node.named_children
        if target.type == "type_literal":
            return self._dotnet.static_member(text_of(target)[1:-1], text_of(member))
        return self._dotnet.member(self._value(target, scope), text_of(member))

    def _of_invokation_expression(self, node: Node, scope: Scope) -> Any:
        target, member, arguments = node.named_children
        given = [
            self._value(each, scope) for listed in arguments.named_children for each in listed.named_children
        ]
        if target.type == "type_literal":
            return self._dotnet.static_call(text_of(target)[1:-1], text_of(member), given)
        return self._dotnet.call(self._value(target, scope), text_of(member), given)
