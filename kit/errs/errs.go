// Package refusal is how lonja says no. A command or query is refused with one
// of seven codes, which travel over NATS as they stand and are mapped to HTTP in
// one table, at the gateway. Every other error is internal: it is logged where
// it happens and shown to nobody.
package errs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Code says what kind of no it is.
type Code string

// The seven codes, and the one for errors that are nobody's business.
const (
	Invalid         Code = "invalid"         // the request is wrong; the same again will fail again
	NotFound        Code = "not_found"       // there is no such thing, or it is not yours to see
	Conflict        Code = "conflict"        // not in the state that things are in
	Unauthenticated Code = "unauthenticated" // say who you are first
	Forbidden       Code = "forbidden"       // not you
	Unavailable     Code = "unavailable"     // not now; nothing may have happened, or it may have: ask again with the same id
	RateLimited     Code = "rate_limited"    // not so fast; nothing happened: ask again after RetryAfter
	Internal        Code = "internal"        // a bug or a fault of ours
)

// Error is a coded no. As JSON it is the body of a refused reply.
type Error struct {
	Code   Code   `json:"code"`
	Detail string `json:"detail"`          // for people; says what to do where it can
	Field  string `json:"field,omitempty"` // the offending field, as a JSON path, where there is one
	// RetryAfter is in how many seconds to ask again, when RateLimited.
	RetryAfter int `json:"retry_after,omitempty"`
}

func (r *Error) Error() string { return string(r.Code) + ": " + r.Detail }

// New is a refusal with no field to blame.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// InvalidField is an Invalid refusal that blames a field: Of("price", "must be positive").
func InvalidField(field, format string, args ...any) *Error {
	return &Error{Code: Invalid, Detail: field + " " + fmt.Sprintf(format, args...), Field: field}
}

// TooManyRequests is a RateLimited refusal, for so long; less than a second is a second.
func TooManyRequests(wait time.Duration) *Error {
	r := New(RateLimited, "too many requests; try again later")
	r.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
	return r
}

// As finds the refusal in err. A deadline that passed is Unavailable; an error
// that names a field is Invalid; ok is false for everything else that is not a
// refusal: those are internal.
func As(err error) (r *Error, ok bool) {
	if errors.As(err, &r) {
		return r, true
	}
	var named interface {
		error
		Field() string
	}
	if errors.As(err, &named) {
		return &Error{Code: Invalid, Detail: named.Error(), Field: named.Field()}, true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return New(Unavailable, "not done in time; try again with the same id"), true
	}
	return nil, false
}

// Is reports whether err is a refusal with this code.
func Is(err error, code Code) bool {
	r, ok := As(err)
	return ok && r.Code == code
}
