package events

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

// MaxCharacter is how many bytes a text may have for each character that it may have. Without
// it, a single letter could carry any number of combining marks.
const MaxCharacter = 32

// Text checks that a text is valid UTF-8, has no control characters other than tabs and line
// ends, and has between least and most characters, as Length counts them. The error is a
// *FieldError. Texts that were recorded when code points were counted pass, too, as long as
// least is 0 or 1.
func Text(field, s string, least, most int) error {
	switch {
	case !utf8.ValidString(s):
		return InvalidField(field, "must be valid UTF-8")
	case strings.TrimSpace(s) == "" && least > 0:
		return InvalidField(field, "must not be empty")
	case len(s) > most*MaxCharacter:
		return InvalidField(field, "must have at most %d characters", most)
	}
	switch n := Length(s); {
	case n > most:
		return InvalidField(field, "must have at most %d characters", most)
	case n < least:
		return InvalidField(field, "must have at least %d characters", least)
	}
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return InvalidField(field, "must not contain control characters")
		}
	}
	return nil
}

// Length returns how many characters a person sees in a text: its grapheme clusters.
func Length(s string) int { return uniseg.GraphemeClusterCount(s) }

// NormalText returns a text in Unicode's normal form C, in which texts that are canonically
// equivalent are equal.
func NormalText(s string) string { return norm.NFC.String(s) }

// Visible checks a text by which people tell things apart, such as a name: it is one line,
// and has no characters that are invisible or change the direction of others. Characters
// that join letters or parts of an emoji are allowed where they do so. The error is a
// *FieldError. It is for new texts only, since the log may hold others.
func Visible(field, s string) error {
	before := ' '
	for _, r := range s {
		if isHidden(r) && !belongs(r, before) {
			return InvalidField(field, "must not contain characters that cannot be seen, such as U+%04X", r)
		}
		before = r
	}
	if isJoiner(before) {
		return InvalidField(field, "must not end with a character that cannot be seen")
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

// joining lists the scripts in which a joiner changes how letters look.
var joining = []*unicode.RangeTable{unicode.Arabic, unicode.Syriac, unicode.Nko, unicode.Mongolian, unicode.Devanagari,
	unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada,
	unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Myanmar}

// belongs reports whether a hidden character is allowed after another character.
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

// WebAddress checks that a text is empty or an http or https URL without credentials, so that
// a browser that shows it fetches something and runs nothing. The error is a *FieldError.
func WebAddress(field, s string) error {
	u, err := url.Parse(s)
	if s != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil) {
		return InvalidField(field, "must be a web address such as https://shop.example/lamp.jpg")
	}
	return nil
}
