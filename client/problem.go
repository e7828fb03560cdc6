package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Code is the kind of an error, for programs. It implements error, so that
// errors.Is(err, client.NotFound) works.
type Code string

// The codes.
const (
	Invalid         Code = "invalid"         // a field, header or parameter is not valid
	NotFound        Code = "not_found"       // it does not exist, or this user may not see it
	Conflict        Code = "conflict"        // the current state does not allow the request
	Unauthenticated Code = "unauthenticated" // there is no valid access token
	Forbidden       Code = "forbidden"       // this user may not do this
	Unavailable     Code = "unavailable"     // the request had no effect, or that is unknown: repeat it with the same key
	RateLimited     Code = "rate_limited"    // the request had no effect: repeat it after RetryAfter
	Internal        Code = "internal"        // an error of the shop itself
)

func (c Code) Error() string { return string(c) }

// Problem is a response with a status of 300 or more (RFC 9457). It is an error; errors.Is
// compares its Code.
type Problem struct {
	Type     string  `json:"type"`
	Title    string  `json:"title"`
	Status   int     `json:"status"`             // the HTTP status
	Detail   string  `json:"detail"`             // what is wrong, for people
	Code     Code    `json:"code"`               // "" if the response is not lonja's, but for example a proxy's
	Field    string  `json:"field,omitempty"`    // the first invalid field, such as "items[2].quantity"
	Instance string  `json:"instance,omitempty"` // identifies this occurrence in the shop's log
	Errors   []Fault `json:"errors,omitempty"`   // every invalid field, if there are several
	// RetryAfter is how long to wait before a retry, 0 if the shop does not say.
	RetryAfter time.Duration `json:"-"`
	body       []byte        // as it came
}

// Fault is one invalid field.
type Fault struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	text := strconv.Itoa(p.Status) + " " + cmp.Or(string(p.Code), p.Title)
	for _, more := range []string{p.Field, p.Detail} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

// Is reports whether target is the problem's code.
func (p *Problem) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == p.Code
}

// problemIn returns the problem in a response.
func problemIn(res *Response) *Problem {
	p := &Problem{}
	if json.Unmarshal(res.Body, p) != nil || p.Code == "" {
		*p = Problem{Title: cmp.Or(http.StatusText(res.StatusCode), "unknown status")}
	}
	p.Status, p.body = res.StatusCode, res.Body
	p.RetryAfter = retryAfter(res.Header.Get("Retry-After"))
	return p
}

// retryAfter parses seconds or a date.
func retryAfter(s string) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return max(0, time.Until(at))
}

// Deferred reports that the shop has accepted a command but not handled it yet, because its
// service is unavailable. The command will be handled once; [Client.GetCommand] and
// [Client.AwaitCommand] return its outcome.
type Deferred struct {
	ID  string // of the command
	err error
}

func (d *Deferred) Error() string {
	text := fmt.Sprintf("the command was deferred with the ID %s", d.ID)
	if d.err != nil {
		text += ": " + d.err.Error()
	}
	return text
}

// Unwrap returns why the wait for the outcome ended, nil with [NoFollow].
func (d *Deferred) Unwrap() error { return d.err }
