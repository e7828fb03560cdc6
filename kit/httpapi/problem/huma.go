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

// GetStatus, GetHeaders and ContentType are what huma asks of an error that it
// is to answer with.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return contentType }

// Huma has one function that makes every error of its own; this is the place
// to change it.
func init() {
	huma.NewError = func(status int, message string, failed ...error) huma.StatusError {
		return ofHuma(status, message, failed)
	}
	huma.DefaultArrayNullable = false
	// Huma's words for fields; numbers are written out.
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedString = "must be a text"
	validation.MsgExpectedArray = "must be a list"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedOneOf = "must be one of \"%s\""
	validation.MsgExpectedMinimumNumber = "must be at least %.15g"
	validation.MsgExpectedMaximumNumber = "must be at most %.15g"
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
}

func ofHuma(status int, message string, failed []error) *Problem {
	var p *Problem
	if errors.As(errors.Join(failed...), &p) {
		return p
	}
	if status == http.StatusInternalServerError {
		status = http.StatusBadRequest // a body that broke off: no fault of ours
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
	return withFaults(status, faults)
}

// faultOf is what huma says of a parameter, without the value: it may be secret.
func faultOf(e *huma.ErrorDetail) Fault {
	_, name, _ := strings.Cut(e.Location, ".") // without "query."
	return Fault{cmp.Or(name, e.Location), e.Message}
}
