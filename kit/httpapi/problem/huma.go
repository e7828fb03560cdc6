package problem

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"lonja/kit/errs"
)

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return contentType }

// Huma makes all its own errors with one function, which is meant to be replaced.
func init() {
	huma.NewError = func(status int, message string, failed ...error) huma.StatusError {
		return fromHuma(status, message, failed)
	}
	huma.DefaultArrayNullable = false
	// Texts for invalid values. Numbers are written without an exponent.
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedString = "must be a string"
	validation.MsgExpectedArray = "must be a list"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedOneOf = "must be one of \"%s\""
	validation.MsgExpectedMinimumNumber = "must be at least %.15g"
	validation.MsgExpectedMaximumNumber = "must be at most %.15g"
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
}

func fromHuma(status int, message string, failed []error) *Problem {
	var p *Problem
	if errors.As(errors.Join(failed...), &p) {
		return p
	}
	if status == http.StatusInternalServerError {
		status = http.StatusBadRequest // the body broke off, which is the client's error
	}
	var faults []Fault
	for _, err := range failed {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			faults = append(faults, faultOf(d))
		}
	}
	if len(faults) == 0 {
		return New(status, errs.Invalid, message)
	}
	return withFields(status, faults)
}

// faultOf converts huma's error for a parameter, without the value, which may be secret.
func faultOf(e *huma.ErrorDetail) Fault {
	_, name, _ := strings.Cut(e.Location, ".") // cut "query."
	return Fault{cmp.Or(name, e.Location), e.Message}
}
