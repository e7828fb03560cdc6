// Package strictjson reads JSON that others wrote, and takes nothing for what
// it is not. encoding/json puts U+FFFD in the place of bytes that are no UTF-8,
// takes a member whose name differs in case for the one that is meant, and the
// last of two with one name.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"lonja/kit/errs"
)

// Malformed says that a text is not JSON. Offset counts bytes from 0 and is
// where the fault is.
type Malformed struct {
	Offset int64
	Reason string
}

func (m *Malformed) Error() string { return fmt.Sprintf("not JSON at byte %d: %s", m.Offset, m.Reason) }

// Check returns a *Malformed unless data is one JSON value in valid UTF-8 and
// nothing after it. The memory that it takes does not grow with data.
func Check(data []byte) error {
	d := NewReader(data)
	if err := d.SkipValue(); err != nil {
		return malformed(err, len(data))
	}
	rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	return &Malformed{int64(len(data) - len(rest)), "the value must be one, and nothing after it"}
}

// NewReader reads data token by token. It lets members through that are there
// twice: to notice them anywhere it would have to remember every name.
func NewReader(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
}

// Decode reads one JSON value: each member known, in the case that is
// written, and there once, each number in range. The error is a *Malformed, or
// an Invalid refusal that names the field. It stops at the first.
func Decode(data []byte, into any) error {
	err := json.Unmarshal(data, into, json.RejectUnknownMembers(true))
	var meaning *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return errs.InvalidField(Path(syntax.JSONPointer), "is given twice")
	case !errors.As(err, &meaning):
		return malformed(err, len(data))
	case errors.Is(err, json.ErrUnknownName):
		return errs.InvalidField(Path(meaning.JSONPointer), "is no field of this request; names are written in lower case")
	case meaning.JSONKind == '0' && meaning.GoType.Kind() != reflect.String:
		return errs.InvalidField(Path(meaning.JSONPointer), "must be a whole number, and not too large")
	}
	return errs.InvalidField(Path(meaning.JSONPointer), "cannot be a JSON %v", meaning.JSONKind)
}

func malformed(err error, length int) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) { // only that there is nothing at all
		return &Malformed{int64(length), "the text ends too early"}
	}
	m := &Malformed{syntax.ByteOffset, syntax.Err.Error()}
	if errors.Is(syntax.Err, io.ErrUnexpectedEOF) {
		m.Reason = "the text ends too early"
	}
	return m
}

// Path is where a pointer points, as fields are called: items[2].quantity.
func Path(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		switch {
		case strings.Trim(token, "0123456789") == "":
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return Shorten(b.String())
}

// longest is how much of a name that a stranger chose is repeated to them.
const longest = 80

// Shorten is a text that is repeated in an error, as far as that makes sense.
func Shorten(s string) string {
	if len(s) <= longest {
		return s
	}
	end := longest
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
