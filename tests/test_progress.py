from largestep._progress import track


def test_silence_without_a_description(capsys):
    with track(None, 3) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_plain_lines_where_there_is_no_terminal(capsys):
    with track("work", 3) as advance:
        for _ in range(3):
            advance()
    assert capsys.readouterr().err == "work: 3 of 3, 0 s, about 0 s left\n"
