package events

import "fmt"

// FieldError says which field of an event, command or query is wrong, and how.
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
func FirstOf(failed ...error) error {
	for _, err := range failed {
		if err != nil {
			return err
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
