// Package strictjson decodes JSON from untrusted senders, and accepts only input
// that has one meaning.
//
// [encoding/json] is lenient where two readers of the same bytes could disagree:
// it replaces invalid UTF-8 with U+FFFD, matches member names without regard to
// case, ignores unknown members, and takes the last of two members with the same
// name. [Decode] returns an error for each of these. Its errors can be shown to
// the sender: a [SyntaxError] gives the byte offset, and all others are an
// [errs.Error] that names the field.
//
// It is a package of its own because both sides of a message broker need it: the
// HTTP edge for request bodies, and services for commands and queries. Neither
// should import the other, and errs stays free of a JSON library.
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

// SyntaxError reports that a text is not exactly one JSON value in valid UTF-8.
type SyntaxError struct {
	Offset int64  // where the error is, in bytes from 0
	Reason string // in English, for the sender's developer
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON at byte %d: %s", e.Offset, e.Reason)
}

// Check returns a *SyntaxError unless data is exactly one JSON value in valid
// UTF-8, with nothing but white space around it. It checks syntax only: unlike
// [Decode] it accepts duplicate members and any number. Its memory use does not
// grow with data, so it can run before the sender is known.
func Check(data []byte) error {
	d := NewDecoder(data)
	if err := d.SkipValue(); err != nil {
		return syntaxError(err, len(data))
	}
	rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	return &SyntaxError{int64(len(data) - len(rest)), "there must be one value, and nothing after it"}
}

// NewDecoder returns a decoder that reads data token by token. It accepts
// duplicate member names: to detect them it would have to remember all names.
func NewDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
}

// Decode decodes one JSON value into the value that into points to. Each member
// must be known, spelled in the same case, and given once; each number must fit
// its field. Decode stops at the first error, which is a *SyntaxError, or an
// *errs.Error with the code Invalid that names the field. After an error the
// value may be partly set.
func Decode(data []byte, into any) error {
	err := json.Unmarshal(data, into, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return errs.InvalidField(fieldPath(syntax.JSONPointer), "is given twice")
	case !errors.As(err, &semantic):
		return syntaxError(err, len(data))
	case errors.Is(err, json.ErrUnknownName):
		return errs.InvalidField(fieldPath(semantic.JSONPointer), "is not a field of this request; names are written in lower case")
	case semantic.JSONKind == '0' && semantic.GoType.Kind() != reflect.String:
		return errs.InvalidField(fieldPath(semantic.JSONPointer), "must be a whole number, and not too large")
	}
	return errs.InvalidField(fieldPath(semantic.JSONPointer), "cannot be a JSON %v", semantic.JSONKind)
}

// syntaxError converts an error of the decoder. Length is that of the text.
func syntaxError(err error, length int) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) { // an empty text is plain io.EOF
		return &SyntaxError{int64(length), "the text ends too early"}
	}
	e := &SyntaxError{syntax.ByteOffset, syntax.Err.Error()}
	if errors.Is(syntax.Err, io.ErrUnexpectedEOF) {
		e.Reason = "the text ends too early"
	}
	return e
}

// fieldPath writes a JSON pointer the way developers write a field:
// items[2].quantity.
func fieldPath(p jsontext.Pointer) string {
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
	return Truncate(b.String())
}

// maxEchoed is how many bytes of the sender's own text an error repeats.
const maxEchoed = 80

// Truncate shortens text that an error repeats to its sender. It keeps at most 80
// bytes, cuts between characters, and marks the cut with an ellipsis.
func Truncate(s string) string {
	if len(s) <= maxEchoed {
		return s
	}
	end := maxEchoed
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
