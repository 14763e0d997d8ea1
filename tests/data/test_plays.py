from jaxrnn.data.plays import _CORRECTIONS, correct, to_dialogue


def play(*paragraphs):
    return "\n\n".join(paragraphs) + "\n"


def test_a_speech_is_its_speaker_with_a_colon_then_its_lines():
    assert to_dialogue("**First Citizen**  \nBefore we proceed,  \nhear me speak.\n") == (
        "First Citizen:\nBefore we proceed,\nhear me speak.\n"
    )


def test_speeches_are_separated_by_a_blank_line():
    assert to_dialogue(play("**A**  \none", "**B**  \ntwo")) == "A:\none\n\nB:\ntwo\n"


def test_headings_and_stage_directions_are_left_out():
    text = play("# A Play", "## ACT I", "### SCENE I. Rome.", "_Enter A\nand B_", "**A**  \none", "_Exeunt_")
    assert to_dialogue(text) == "A:\none\n"


def test_a_speech_continues_after_a_stage_direction():
    assert (
        to_dialogue(play("**A**  \none", "_Drums, and a\nflourish_", "_Exit B_", "two")) == "A:\none\ntwo\n"
    )


def test_nested_stage_directions():
    assert to_dialogue(play("**A**  \none", r"_Burthen _\[within_", "two")) == "A:\none\ntwo\n"


def test_directions_to_a_speaker_are_left_out():
    text = "**A**  \n_\\[Aside]_  \none  \n_\\[To B]_  \ntwo\n\n_\\[To C]_  \nthree\n"
    assert to_dialogue(text) == "A:\none\ntwo\nthree\n"


def test_a_speech_of_directions_only_is_left_out():
    assert to_dialogue(play("**A**  \n_\\[Within]_", "**B**", "**C**  \none")) == "C:\none\n"


def test_words_without_a_speaker_are_left_out():
    assert (
        to_dialogue(play("### SCENE I.", "Yorkshire.", "**A**  \none", "### SCENE II.", "A wood."))
        == "A:\none\n"
    )


def test_escaped_punctuation_loses_its_backslash():
    assert (
        to_dialogue(play("**A**  \n'friends,'\\--this says\\. \\[it\\]"))
        == "A:\n'friends,'--this says. [it]\n"
    )


def test_a_heading_mark_is_followed_by_a_space():
    assert to_dialogue(play("**A**  \none", "_Exit_", "#two")) == "A:\none\n#two\n"


def test_several_speakers_stay_on_one_line():
    assert (
        to_dialogue(play("**CLEOMENES & DION**  \nAll this we swear."))
        == "CLEOMENES & DION:\nAll this we swear.\n"
    )


def test_blank_lines_may_be_repeated_or_have_spaces():
    assert to_dialogue("\n\n**A**  \none\n   \n\n\n\t\n**B**  \ntwo\n\n\n") == "A:\none\n\nB:\ntwo\n"


def test_a_text_without_speech_is_empty():
    assert to_dialogue("") == to_dialogue("# A Play\n\n_Exeunt_\n") == ""


def test_the_ghost_has_its_full_name():
    text = play("**KING**  \none", "_Enter a Ghost_", "Ghost", "**of Prince Edward**  \ntwo")
    assert to_dialogue(correct("richard-iii", text)) == "KING:\none\n\nGhost of Prince Edward:\ntwo\n"


def test_an_epilogue_is_a_separate_speech():
    text = play("**PROSPERO**  \none", "_Exeunt_", "EPILOGUE  \nSPOKEN BY PROSPERO  \ntwo")
    assert to_dialogue(correct("the-tempest", text)) == "PROSPERO:\none\n\nPROSPERO:\ntwo\n"


def test_each_correction_applies_to_one_play_only():
    for name, slips in _CORRECTIONS.items():
        for wrong, right in slips:
            assert correct(name, f"<{wrong}>") == f"<{right}>"
            assert correct("macbeth", wrong) == wrong


def test_corrections_leave_no_direction_marks_in_speech():
    for slips in _CORRECTIONS.values():
        for _, right in slips:
            assert not set("_\\[]$") & set(to_dialogue("**A**\n" + right))


def test_directions_may_be_in_asterisks():
    text = play("**A**  \none", "*Exit B, and\nreturns.*", "*\\[He draws.]*  \n**C**  \n*Exit.*  \ntwo")
    assert to_dialogue(text) == "A:\none\n\nC:\ntwo\n"


def test_a_direction_may_lack_its_opening_mark_or_repeat_it():
    assert to_dialogue("**A**  \n\\[Aside]_  \none  \n__\\[Sings]_  \ntwo\n") == "A:\none\ntwo\n"


def test_a_speaker_without_a_preceding_blank_line_starts_a_speech():
    assert to_dialogue("**A**  \none  \n**B**  \ntwo\n") == "A:\none\n\nB:\ntwo\n"


def test_et_cetera_has_one_spelling():
    assert correct("as-you-like-it", "In spring time, & c.") == "In spring time, &c."
