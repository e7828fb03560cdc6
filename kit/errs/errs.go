// Package errs defines the errors that a caller may see. Each has a [Code], which
// is its kind, and a detail for the caller's developer.
//
// There are seven codes that a caller can act on. An [Error] encodes to JSON,
// and travels over NATS as the body of an error reply. An HTTP server maps its
// code to a status.
//
// Any other error is internal. [As] reports false for it: log it where it
// occurs, and report [Internal] to the caller without the text, which may hold
// details that nobody outside should see.
package errs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Code is the kind of an error. It decides what the caller can do next. The
// values are part of the wire format and never change.
type Code string

// The codes of errors that a caller can act on, and Internal for all others.
const (
	Invalid         Code = "invalid"         // the request is wrong; repeating it fails again
	NotFound        Code = "not_found"       // it does not exist, or the caller may not know that it does
	Conflict        Code = "conflict"        // the current state does not allow it
	Unauthenticated Code = "unauthenticated" // the caller must sign in first
	Forbidden       Code = "forbidden"       // the caller may not do this
	Unavailable     Code = "unavailable"     // not possible now; the outcome may be unknown: repeat it with the same id
	RateLimited     Code = "rate_limited"    // too many requests; nothing was done: repeat it after RetryAfter
	Internal        Code = "internal"        // a bug or a fault of the service
)

// Error is an error with a code. Its JSON form is the body of an error reply.
type Error struct {
	Code   Code   `json:"code"`
	Detail string `json:"detail"`          // what is wrong and, where possible, what to do, in English
	Field  string `json:"field,omitempty"` // the JSON path of the field at fault, such as items[2].quantity; "" for none
	// RetryAfter is how many seconds to wait before the next attempt. It is at
	// least 1 for RateLimited. It is 0 for all other codes, but Unavailable may
	// have one, too.
	RetryAfter int `json:"retry_after,omitempty"`
}

// Error implements error. It returns the code and the detail.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// New returns an Error without a field. The detail is formatted as by
// [fmt.Sprintf]; %w is not supported.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// InvalidField returns an Invalid error about one field. The detail begins with
// the field's name: InvalidField("price", "must be positive") reads "price must
// be positive".
func InvalidField(field, format string, args ...any) *Error {
	return &Error{Code: Invalid, Detail: field + " " + fmt.Sprintf(format, args...), Field: field}
}

// TooManyRequests returns a RateLimited error that asks the caller to wait. The
// wait is rounded up to whole seconds and is at least one second.
func TooManyRequests(wait time.Duration) *Error {
	e := New(RateLimited, "too many requests; try again later")
	e.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
	return e
}

// As returns the Error that describes err to a caller:
//
//   - the first *Error in err's tree, if there is one;
//   - an Invalid error, if err's tree holds an error with a method Field() string;
//   - an Unavailable error, if err is a context's deadline or cancellation: the
//     outcome is unknown then.
//
// Otherwise, and for nil, it returns nil and false: err is internal.
func As(err error) (e *Error, ok bool) {
	if errors.As(err, &e) {
		return e, true
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

// Is reports whether [As] finds an Error with this code in err.
func Is(err error, code Code) bool {
	e, ok := As(err)
	return ok && e.Code == code
}
