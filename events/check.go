package events

import (
	"fmt"
	"slices"
	"strings"
)

// FieldError reports which field of an event, command or query is invalid, and why.
type FieldError struct {
	Path   string // as in the JSON: "items[2].quantity"
	Detail string // what it must be: "must be at least 1"
}

func (e *FieldError) Error() string { return e.Path + " " + e.Detail }

// Field returns the path of the invalid field.
func (e *FieldError) Field() string { return e.Path }

// InvalidField returns a *FieldError about a field. The rest is formatted as by fmt.Sprintf.
func InvalidField(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// FirstOf returns the first error that is not nil, or nil.
func FirstOf(failed ...error) error {
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// InField returns an error with a prefix, such as "items[2]", before the field that it names.
// An error that is no *FieldError, and nil, are returned as they are.
func InField(prefix string, err error) error {
	if fe, ok := err.(*FieldError); ok {
		return &FieldError{prefix + "." + fe.Path, fe.Detail}
	}
	return err
}

// oneOf checks that a text is one of those that a field may have.
func oneOf(field, s string, allowed ...string) error {
	if !slices.Contains(allowed, s) {
		return InvalidField(field, "must be one of %s", strings.Join(allowed, ", "))
	}
	return nil
}
