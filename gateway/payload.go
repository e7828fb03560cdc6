package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"lonja/internal/refusal"
)

// payload is a JSON body that is to be a T. Embed it into a route's input.
type payload[T any] struct {
	RawBody []byte `contentType:"application/json"`
}

func (p *payload[T]) bodyType() reflect.Type { return reflect.TypeFor[T]() }

// decode reads the body, or says which field is wrong.
func (p *payload[T]) decode(c *call) (T, error) { return decode[T](c, p.RawBody) }

// decode reads JSON strictly: one value, no unknown fields, nothing that is
// required missing, every number in range. JSON that is none is a problem with
// status 400; anything else that is wrong, with 422 and the field's name.
func decode[T any](c *call, raw []byte) (v T, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err = d.Decode(&v); err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			return v, malformed("the body must be one JSON value and nothing after it")
		}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return v, malformed("the body is not JSON: " + err.Error())
	}
	if p := c.compare(raw); p != nil {
		return v, p
	}
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ):
		return v, refusal.Of(typ.Field, "cannot be a JSON %s", brief(typ.Value))
	case err != nil:
		return v, refusal.New(refusal.Invalid, "the body cannot be read: %v", err)
	}
	return v, nil
}

// compare compares a body with its schema. Unlike the decoder, that knows
// which item of a list is wrong and what is missing; but it sees numbers as
// floating point, so both have a say.
func (c *call) compare(raw []byte) *problem {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return nil // a number that no float can hold; the decoder has said so
	}
	var found huma.ValidateResult
	huma.Validate(c.registry(), c.route.body, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, &found)
	if len(found.Errors) == 0 {
		return nil
	}
	return faulty(http.StatusUnprocessableEntity, found.Errors)
}

// faultOf is what huma says of one field, without the value: it may be secret.
func faultOf(e *huma.ErrorDetail) fault {
	f := fault{Field: e.Location, Detail: e.Message}
	for _, where := range []string{"body.", "query.", "path.", "header."} {
		f.Field = strings.TrimPrefix(f.Field, where)
	}
	var missing string
	if _, err := fmt.Sscanf(e.Message, validation.MsgExpectedRequiredProperty, &missing); err == nil {
		f.Field, f.Detail = strings.TrimPrefix(f.Field+"."+missing, "."), "is required"
	}
	return f
}

// brief is a JSON value as a decoder's error names it, without its digits.
func brief(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	if kind != value {
		return kind + " like that"
	}
	return kind
}

// checkContentType refuses bodies that say to be something else than what the
// route takes. Those that say nothing are taken for JSON.
func (c *call) checkContentType() error {
	sent := c.r.Header["Content-Type"]
	if len(sent) == 0 || len(sent) == 1 && sent[0] == "application/json" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(sent[0]); err == nil && len(sent) == 1 && c.route.RequestBody.Content[kind] != nil {
		return nil
	}
	p := newProblem(http.StatusUnsupportedMediaType, refusal.Invalid, "the body must be sent as Content-Type: application/json")
	p.Field = "Content-Type"
	return p
}

// body reads the body of a page.
func (c *call) body() ([]byte, error) {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(readTimeout))
	defer c.bodyIsRead()
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, newProblem(http.StatusRequestEntityTooLarge, refusal.Invalid, "the body is too large")
	case err != nil:
		return nil, malformed("the body could not be read")
	case len(raw) == 0:
		return nil, malformed("a body is required")
	}
	return raw, nil
}

func malformed(detail string) *problem {
	return newProblem(http.StatusBadRequest, refusal.Invalid, detail)
}
