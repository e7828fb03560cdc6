package events

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

// MaxCharacter is how many bytes a text may have for each of the characters that
// it may have: marks could be heaped on a letter without end.
const MaxCharacter = 32

// Text checks that a text is valid UTF-8 without control characters other than
// tabs and line ends, and between least and most characters long, as a person
// counts them. Every text in the log passes, also those that were recorded when
// code points were counted, as long as least is 0 or 1.
func Text(field, s string, least, most int) error {
	switch {
	case !utf8.ValidString(s):
		return Wrong(field, "must be UTF-8")
	case strings.TrimSpace(s) == "" && least > 0:
		return Wrong(field, "must not be empty")
	case len(s) > most*MaxCharacter:
		return Wrong(field, "must have at most %d characters", most)
	}
	switch n := Length(s); {
	case n > most:
		return Wrong(field, "must have at most %d characters", most)
	case n < least:
		return Wrong(field, "must have at least %d characters", least)
	}
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return Wrong(field, "must not contain control characters")
		}
	}
	return nil
}

// Length is how many characters a person sees in a text.
func Length(s string) int { return uniseg.GraphemeClusterCount(s) }

// NormalText is a text in Unicode's normal form C: one that looks the same is
// the same.
func NormalText(s string) string { return norm.NFC.String(s) }

// Visible checks a text that people tell things apart by, such as a name: it is
// one line and has no characters that nobody sees or that turn others around.
// Those that join letters or make up an emoji are fine where they do that. It
// is asked of new texts only; the log may hold others.
func Visible(field, s string) error {
	before := ' '
	for _, r := range s {
		if isHidden(r) && !belongs(r, before) {
			return Wrong(field, "must not contain characters that cannot be seen, such as U+%04X", r)
		}
		before = r
	}
	if isJoiner(before) {
		return Wrong(field, "must not end with a character that cannot be seen")
	}
	return nil
}

const (
	nonJoiner, joiner = '\u200c', '\u200d'
	blankBraille      = '\u2800'
	emojiSelector     = '\ufe0f'
)

func isJoiner(r rune) bool { return r == nonJoiner || r == joiner }

func isHidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point) &&
		!unicode.Is(unicode.Prepended_Concatenation_Mark, r) || r == blankBraille
}

// joining are the scripts in which a joiner changes how letters look.
var joining = []*unicode.RangeTable{unicode.Arabic, unicode.Syriac, unicode.Nko, unicode.Mongolian, unicode.Devanagari,
	unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada,
	unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Myanmar}

// belongs reports whether a hidden character has its place after another.
func belongs(r, before rune) bool {
	switch {
	case isJoiner(r) && unicode.In(before, joining...):
		return true
	case r == joiner:
		return before == emojiSelector || unicode.In(before, unicode.So, unicode.Sk)
	case unicode.Is(unicode.Variation_Selector, r):
		return unicode.In(before, unicode.So, unicode.Sm, unicode.Po, unicode.Nd, unicode.Han, unicode.Mongolian)
	}
	return false
}

// WebAddress checks that a text, when there is one, is an address on the web: a
// browser that shows it fetches something, and runs nothing.
func WebAddress(field, s string) error {
	u, err := url.Parse(s)
	if s != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil) {
		return Wrong(field, "must be an address like https://shop.example/lamp.jpg")
	}
	return nil
}
