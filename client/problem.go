package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Code is what is wrong, for programs. It is an error, so that
// errors.Is(err, bus.NotFound) asks for it.
type Code string

// The codes.
const (
	Invalid         Code = "invalid"         // a field, header or parameter is wrong
	NotFound        Code = "not_found"       // there is no such thing, or not for this user
	Conflict        Code = "conflict"        // things are not as the request assumes
	Unauthenticated Code = "unauthenticated" // nobody is logged in, or no longer
	Forbidden       Code = "forbidden"       // this user may not
	Unavailable     Code = "unavailable"     // nothing happened, or nobody knows: the same request with the same key tells
	RateLimited     Code = "rate_limited"    // nothing happened: come back after RetryAfter
	Internal        Code = "internal"        // a fault of the shop's
)

func (c Code) Error() string { return string(c) }

// Problem is an answer with a status of 300 or more, as RFC 9457 has it.
type Problem struct {
	Type     string  `json:"type"`
	Title    string  `json:"title"`
	Status   int     `json:"status"`             // of HTTP
	Detail   string  `json:"detail"`             // what is wrong, for people
	Code     Code    `json:"code"`               // "" when something other than lonja answered, such as a proxy
	Field    string  `json:"field,omitempty"`    // the first field that is wrong, such as "items[2].quantity"
	Instance string  `json:"instance,omitempty"` // finds this very problem in the shop's log
	Errors   []Fault `json:"errors,omitempty"`   // every field that is wrong, when there are several
	// RetryAfter is how long to wait before the next try, 0 when the shop does not say.
	RetryAfter time.Duration `json:"-"`
	body       []byte        // as it came
}

// Fault is one field that is wrong.
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

// problemIn is the problem that a response tells of.
func problemIn(res *Response) *Problem {
	p := &Problem{}
	if json.Unmarshal(res.Body, p) != nil || p.Code == "" {
		*p = Problem{Title: cmp.Or(http.StatusText(res.StatusCode), "unknown status")}
	}
	p.Status, p.body = res.StatusCode, res.Body
	p.RetryAfter = retryAfter(res.Header.Get("Retry-After"))
	return p
}

// retryAfter reads seconds, or a date.
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

// Deferred reports that the shop has accepted a command and not carried it out
// yet, because the service that decides it is away. It will be, once; what became
// of it is known to [Client.GetCommand] and [Client.AwaitCommand].
type Deferred struct {
	ID  string // of the command
	err error
}

func (d *Deferred) Error() string {
	text := fmt.Sprintf("accepted for later as command %s", d.ID)
	if d.err != nil {
		text += ": " + d.err.Error()
	}
	return text
}

// Unwrap is why the outcome was not waited for any longer, nil with [NoFollow].
func (d *Deferred) Unwrap() error { return d.err }
