"""Helper processes: answers, crashes, and what never answers."""

import time

import pytest

from gesture3d.helpers import Helper, HelperDied, answer_questions


def obey() -> None:
    """The helper process: sleeps for as long as it is asked to, and says so."""

    def answer(seconds, _):
        time.sleep(seconds)
        return seconds

    answer_questions(answer)


def test_a_question_that_takes_too_long_is_given_up_and_the_next_is_answered():
    helper = Helper("tests.test_helpers", "obey")
    try:
        assert helper.ask(0) == 0
        with pytest.raises(HelperDied, match=r"took more than 0.5 s and was stopped"):
            helper.ask(600, most_seconds=0.5)
        assert helper.ask(0.01) == 0.01
    finally:
        helper.close()
