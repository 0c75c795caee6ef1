from edgellm.cli.console import printable


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\x9b31m\r\nc\td\u202a") == "a[2Jb31m\nc\td\u202a"
