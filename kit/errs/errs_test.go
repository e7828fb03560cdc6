package errs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"lonja/kit/errs"
)

// badPrice is an error that names a field without being an *errs.Error, as a
// package that does not import errs returns it.
type badPrice struct{}

func (badPrice) Error() string { return "price must be positive" }
func (badPrice) Field() string { return "price" }

func TestAs_DescribesAnErrorToTheCaller(t *testing.T) {
	timedOut, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	<-timedOut.Done()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	sold := errs.New(errs.Conflict, "%s is sold out", "A-1")

	for name, test := range map[string]struct {
		err  error
		want errs.Error
	}{
		"an Error":                  {sold, errs.Error{Code: errs.Conflict, Detail: "A-1 is sold out"}},
		"a wrapped Error":           {fmt.Errorf("order 7: %w", sold), *sold},
		"a joined Error":            {errors.Join(errors.New("disk"), sold), *sold},
		"a wrapped field error":     {fmt.Errorf("decode: %w", badPrice{}), errs.Error{Code: errs.Invalid, Detail: "price must be positive", Field: "price"}},
		"an Error and a field":      {errors.Join(badPrice{}, sold), *sold},
		"an Error and a deadline":   {errors.Join(context.DeadlineExceeded, sold), *sold},
		"a deadline that passed":    {fmt.Errorf("load: %w", timedOut.Err()), errs.Error{Code: errs.Unavailable, Detail: "not done in time; try again with the same id"}},
		"a context that was ended":  {canceled.Err(), errs.Error{Code: errs.Unavailable, Detail: "not done in time; try again with the same id"}},
		"a limit":                   {errs.TooManyRequests(time.Minute), errs.Error{Code: errs.RateLimited, Detail: "too many requests; try again later", RetryAfter: 60}},
		"a field, formatted detail": {errs.InvalidField("age", "must be %d or more", 18), errs.Error{Code: errs.Invalid, Detail: "age must be 18 or more", Field: "age"}},
	} {
		got, ok := errs.As(test.err)
		if !ok || *got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, ok, test.want)
		}
	}
}

func TestAs_AllOtherErrorsAreInternal(t *testing.T) {
	for name, err := range map[string]error{
		"nil":               nil,
		"an ordinary error": errors.New("dial tcp 10.0.0.7: connection refused"),
		"a wrapped one":     fmt.Errorf("save: %w", errors.New("disk full")),
	} {
		if e, ok := errs.As(err); ok || e != nil {
			t.Errorf("%s: got %v, %v; callers would see it", name, e, ok)
		}
		if errs.Is(err, errs.Internal) {
			t.Errorf("%s: Is reports Internal, which only an Error can have", name)
		}
	}
}

func TestIs_ComparesTheCodeThatAsFinds(t *testing.T) {
	err := fmt.Errorf("pay: %w", errs.New(errs.Forbidden, "not your order"))
	if !errs.Is(err, errs.Forbidden) || errs.Is(err, errs.NotFound) {
		t.Errorf("%v: Forbidden is %v, NotFound is %v", err, errs.Is(err, errs.Forbidden), errs.Is(err, errs.NotFound))
	}
	if !errs.Is(badPrice{}, errs.Invalid) || !errs.Is(context.Canceled, errs.Unavailable) {
		t.Error("Is does not see what As derives from a field or a context")
	}
}

func TestTooManyRequests_RoundsUpToWholeSecondsAndAtLeastOne(t *testing.T) {
	for wait, want := range map[time.Duration]int{
		-time.Second: 1, 0: 1, time.Millisecond: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90,
	} {
		if e := errs.TooManyRequests(wait); e.Code != errs.RateLimited || e.RetryAfter != want {
			t.Errorf("%v: got %s, %d s, want %d s", wait, e.Code, e.RetryAfter, want)
		}
	}
}

// The JSON form is a wire format: services of other versions read and write it.
func TestError_JSONFormIsTheWireFormat(t *testing.T) {
	for _, test := range []struct {
		err  *errs.Error
		want string
	}{
		{errs.New(errs.NotFound, "no order 7"), `{"code":"not_found","detail":"no order 7"}`},
		{errs.InvalidField("items[2].quantity", "must be positive"), `{"code":"invalid","detail":"items[2].quantity must be positive","field":"items[2].quantity"}`},
		{errs.TooManyRequests(3 * time.Second), `{"code":"rate_limited","detail":"too many requests; try again later","retry_after":3}`},
	} {
		data, err := json.Marshal(test.err)
		if err != nil || string(data) != test.want {
			t.Errorf("got %s, %v, want %s", data, err, test.want)
		}
		var back errs.Error
		if err := json.Unmarshal(data, &back); err != nil || back != *test.err {
			t.Errorf("%s decodes to %+v, %v", data, back, err)
		}
	}
	codes := map[errs.Code]string{
		errs.Invalid: "invalid", errs.NotFound: "not_found", errs.Conflict: "conflict", errs.Unauthenticated: "unauthenticated",
		errs.Forbidden: "forbidden", errs.Unavailable: "unavailable", errs.RateLimited: "rate_limited", errs.Internal: "internal",
	}
	for code, want := range codes {
		if string(code) != want {
			t.Errorf("code %q is %q on the wire", code, want)
		}
	}
}
