package events

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// FieldError says which field of a fact, command or query is wrong, and how.
type FieldError struct {
	Path   string // as in the JSON: "items[2].quantity"
	Detail string // what it must be: "must be at least 1"
}

func (e *FieldError) Error() string { return e.Path + " " + e.Detail }

// Field is the path of the field that is wrong.
func (e *FieldError) Field() string { return e.Path }

// Wrong makes a FieldError.
func Wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// FirstOf returns the first error that is not nil, or nil.
func FirstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Text checks that a text is valid UTF-8 without control characters other
// than tabs and line ends, and between least and most characters long.
func Text(field, s string, least, most int) error {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return Wrong(field, "must be UTF-8")
	case strings.TrimSpace(s) == "" && least > 0:
		return Wrong(field, "must not be empty")
	case n < least:
		return Wrong(field, "must have at least %d characters", least)
	case n > most:
		return Wrong(field, "must have at most %d characters", most)
	}
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return Wrong(field, "must not contain control characters")
		}
	}
	return nil
}

// In puts a prefix, such as "items[2]", before the field that an error names.
func In(prefix string, err error) error {
	if fe, ok := err.(*FieldError); ok {
		return &FieldError{prefix + "." + fe.Path, fe.Detail}
	}
	return err
}
