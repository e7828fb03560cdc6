package problem_test

import (
	"errors"
	"fmt"

	"lonja/kit/errs"
	"lonja/kit/httpapi/problem"
)

// An error with a code has its status by the table. One without shows nothing of
// itself.
func ExampleOf() {
	for _, err := range []error{
		errs.New(errs.Conflict, "the counter is closed"),
		errs.InvalidField("by", "must be positive"),
		errors.New("sql: no such table: counters"),
	} {
		p := problem.Of(err).In("example")
		fmt.Println(p.Status, p.Type, "-", p.Detail)
	}
	// Output:
	// 409 urn:example:problem:conflict - the counter is closed
	// 422 urn:example:problem:invalid - by must be positive
	// 500 urn:example:problem:internal - something went wrong on our side
}
