"""The book of windows: whatever order things happen in, no place and no doubt is lost."""

from hypothesis import given
from hypothesis import strategies as st

from agent.platform.interfaces import Area
from agent.platform.x11.window_book import WindowBook
from tests.support.window_watch import words

FIRST, SECOND, THIRD = Area(0, 0, 10, 10), Area(20, 20, 10, 10), Area(40, 40, 10, 10)
TITLE = 39


def book_with(*, is_mapped: bool = True) -> WindowBook:
    """One window that was read, and taken."""
    book = WindowBook()
    book.appeared(5, FIRST, is_popup=False, is_mapped=is_mapped)
    read(book, 5)
    book.take()
    return book


def read(book: WindowBook, window_id: int, *inside: int, containers: tuple[int, ...] = ()) -> None:
    book.about_to_read(window_id)
    said = words(window_id, "Vault", "title")
    book.read(said, [said, *(words(one, "In") for one in inside)], containers, is_drawn=True)


def test_a_window_is_everywhere_it_was_since_the_last_look():
    book = book_with()
    book.moved(5, SECOND, is_popup=False)
    book.moved(5, THIRD, is_popup=False)
    assert book.take()[0].places == (FIRST, SECOND, THIRD)
    assert book.take()[0].places == (THIRD,)


def test_a_hidden_window_is_nowhere_and_one_that_was_seen_meanwhile_is_where_it_was():
    book = book_with(is_mapped=False)
    book.moved(5, SECOND, is_popup=False)
    assert book.take()[0].places == ()
    book.mapped(5, is_mapped=True)
    book.mapped(5, is_mapped=False)
    assert book.take()[0].places == (SECOND,)
    assert book.take()[0].places == ()


def test_a_window_that_is_gone_is_told_of_once_more():
    book = book_with()
    book.gone(5)
    assert [one.window_id for one in book.take()] == [5]
    assert book.take() == ()


def test_a_window_that_was_never_read_may_be_anything_also_when_it_is_gone():
    book = WindowBook()
    book.appeared(5, FIRST, is_popup=True)
    book.mapped(5, is_mapped=True)
    book.gone(5)
    [seen] = book.take()
    assert not seen.is_known
    assert seen.places == (FIRST,)


def test_after_a_new_word_it_is_to_be_asked_again_and_unknown_until_then():
    book = book_with()
    assert book.unread() == []
    book.renamed(5, None)
    assert book.unread() == [5]
    assert not book.take()[0].is_known
    read(book, 5)
    assert book.take()[0].is_known


def test_a_word_that_changes_while_it_is_being_asked_makes_it_stale_again():
    book = book_with()
    book.renamed(5, None)
    book.about_to_read(5)
    book.renamed(5, None)
    book.read(words(5, "Vault"), [words(5, "Vault")], (), is_drawn=True)
    assert book.unread() == [5]


def test_of_two_changes_of_one_title_the_first_is_missed_and_of_one_change_none():
    book = book_with()
    book.renamed(5, TITLE)
    read(book, 5)
    assert not book.take()[0].has_missed_titles
    book.renamed(5, TITLE)
    book.renamed(5, TITLE)
    read(book, 5)
    assert book.take()[0].has_missed_titles
    assert not book.take()[0].has_missed_titles


def test_a_change_of_both_kinds_of_title_is_one_change_each():
    book = book_with()
    book.renamed(5, TITLE)
    book.renamed(5, 500)
    read(book, 5)
    assert not book.take()[0].has_missed_titles


def test_what_happens_in_a_frame_makes_the_frame_be_asked_again():
    book = book_with()
    read(book, 5, 6, containers=(7,))
    for inner in (5, 6, 7):
        book.rearranged(inner)
        assert book.unread() == [5]
        read(book, 5, 6, containers=(7,))
    book.renamed(6, TITLE)
    assert book.unread() == [5]


def test_a_window_without_pixels_of_its_own_has_no_place():
    book = book_with()
    book.about_to_read(5)
    book.read(words(5), [words(5)], (), is_drawn=False)
    assert book.take()[0].places == ()


def test_while_nothing_happens_the_answer_is_the_same_object():
    book = book_with()
    assert book.take() is book.take()
    book.moved(5, SECOND, is_popup=False)
    moved = book.take()
    settled = book.take()
    assert settled is not moved
    assert book.take() is settled


def test_a_window_whose_place_is_asked_for_later_is_there_from_then_on():
    book = WindowBook()
    book.appeared(5, None, is_popup=False, is_mapped=True)
    assert book.lacks_place(5)
    book.placed(5, SECOND)
    assert not book.lacks_place(5)
    assert book.take()[0].places == (SECOND,)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(0, 5)),
        st.tuples(st.just("map"), st.booleans()),
        st.tuples(st.just("take"), st.just(0)),
    ),
    max_size=40,
)


@given(ACTS)
def test_at_each_moment_between_two_looks_its_place_is_among_those_that_are_told(acts):
    book, area, is_mapped = book_with(), FIRST, True
    was_at = {FIRST}
    for act, value in [*acts, ("take", 0)]:
        if act == "move":
            area = Area(value, value, 10, 10)
            book.moved(5, area, is_popup=False)
        elif act == "map":
            is_mapped = bool(value)
            book.mapped(5, is_mapped=is_mapped)
        else:
            assert set(book.take()[0].places) == was_at
            was_at = set()
        if is_mapped:
            was_at.add(area)
