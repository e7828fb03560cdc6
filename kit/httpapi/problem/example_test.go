package problem_test

import (
	"errors"
	"fmt"

	"lonja/kit/errs"
	"lonja/kit/httpapi/problem"
)

// An error with a code gets the status of the table. Nothing of an error without a code is
// shown.
func ExampleFromError() {
	for _, err := range []error{
		errs.New(errs.Conflict, "the counter is closed"),
		errs.InvalidField("by", "must be positive"),
		errors.New("sql: no such table: counters"),
	} {
		p := problem.FromError(err).In("example")
		fmt.Println(p.Status, p.Type, "-", p.Detail)
	}
	// Output:
	// 409 urn:example:problem:conflict - the counter is closed
	// 422 urn:example:problem:invalid - by must be positive
	// 500 urn:example:problem:internal - something went wrong on our side
}
