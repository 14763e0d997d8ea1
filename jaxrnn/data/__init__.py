"""Corpora from files or built-in names, vocabularies, token ids, and batches."""

from jaxrnn.data.corpus import Corpus as Corpus
from jaxrnn.data.corpus import load_corpus as load_corpus
from jaxrnn.data.corpus import read_start as read_start
from jaxrnn.data.coverage import OnUnknown as OnUnknown
from jaxrnn.data.sources import named_paths as named_paths
from jaxrnn.data.texts import several as several
from jaxrnn.data.tokens import TokenSource as TokenSource
from jaxrnn.data.tokens import in_memory as in_memory
from jaxrnn.data.vocabulary import Ids as Ids
from jaxrnn.data.vocabulary import Text as Text
from jaxrnn.data.vocabulary import Vocabulary as Vocabulary
from jaxrnn.data.vocabulary import build_vocabulary as build_vocabulary
from jaxrnn.data.vocabulary import byte_vocabulary as byte_vocabulary
from jaxrnn.data.vocabulary import count_unknown as count_unknown
from jaxrnn.data.vocabulary import decode as decode
from jaxrnn.data.vocabulary import describe_character as describe_character
from jaxrnn.data.vocabulary import drop_unknown as drop_unknown
from jaxrnn.data.vocabulary import encode as encode
from jaxrnn.data.vocabulary import in_tokens as in_tokens
from jaxrnn.data.vocabulary import spell as spell
from jaxrnn.data.vocabulary import unknown_characters as unknown_characters
