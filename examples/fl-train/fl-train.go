// fl-train is the trainer of the quick start: a plain WASI program that fits y = w*x + b.
//
// It knows nothing of Propeller but the contract of docs/reference/federated-guest.md: the model
// comes in FL_GLOBAL_UPDATE_B64, samples are lines "x1,...,xn,y" of /data/*.csv, and the new weights
// go to stdout as JSON. Without data it makes its own: y = 2x + 1, at x = the proplet's share of
// 1..4, so that the quick start needs nothing and its numbers can be checked by hand.
//
//	GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags='-s -w' -o fl-train.wasm .
//	tinygo build -target=wasip1 -opt=z -no-debug -o fl-train.wasm .
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// declined says that there is nothing to train on.
const declined = 75

type sample struct {
	x []float64
	y float64
}

// answer is the first form of an update that the contract knows: full weights by tensor.
type answer struct {
	Update  weights            `json:"update"`
	Samples int                `json:"num_samples"`
	Metrics map[string]float64 `json:"metrics"`
}

type weights struct {
	W []float64 `json:"w"`
	B float64   `json:"b"`
}

func main() {
	samples, err := read("/data")
	if err != nil {
		fail(err)
	}
	if len(samples) == 0 {
		os.Exit(declined)
	}
	model, err := global(len(samples[0].x))
	if err != nil {
		fail(err)
	}
	told := map[string]float64{}
	if os.Getenv("FL_MODE") == "evaluate" {
		told["loss"] = loss(model, samples)
		write(map[string]any{"num_samples": len(samples), "metrics": told})
		return
	}
	told["loss_before"] = loss(model, samples)
	rate, epochs := number("FL_LEARNING_RATE", 0.05), int(number("FL_LOCAL_EPOCHS", 1))
	for ; epochs > 0; epochs-- {
		step(&model, samples, rate)
	}
	told["loss"] = loss(model, samples)
	write(answer{Update: model, Samples: len(samples), Metrics: told})
}

// step is one step of gradient descent on the mean of (w*x + b - y)^2 / 2.
func step(model *weights, samples []sample, rate float64) {
	slope, offset := make([]float64, len(model.W)), 0.0
	for _, each := range samples {
		wrong := predict(*model, each.x) - each.y
		for i, x := range each.x {
			slope[i] += wrong * x
		}
		offset += wrong
	}
	for i := range slope {
		model.W[i] -= rate * slope[i] / float64(len(samples))
	}
	model.B -= rate * offset / float64(len(samples))
}

func predict(model weights, x []float64) float64 {
	sum := model.B
	for i, each := range x {
		sum += model.W[i] * each
	}
	return sum
}

func loss(model weights, samples []sample) float64 {
	sum := 0.0
	for _, each := range samples {
		wrong := predict(model, each.x) - each.y
		sum += wrong * wrong
	}
	return sum / float64(2*len(samples))
}

// global is the model of the round: w in order, then b; zeros before the first round is over.
func global(features int) (weights, error) {
	model := weights{W: make([]float64, features)}
	text := os.Getenv("FL_GLOBAL_UPDATE_B64")
	if text == "" {
		return model, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return model, fmt.Errorf("the model: %w", err)
	}
	var flat []float64
	if err := json.Unmarshal(data, &flat); err != nil {
		return model, fmt.Errorf("the model: %w", err)
	}
	if len(flat) != features+1 {
		return model, fmt.Errorf("the model has %d parameters, the data want %d", len(flat), features+1)
	}
	copy(model.W, flat)
	model.B = flat[features]
	return model, nil
}

func read(folder string) ([]sample, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.csv"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(folder); err != nil {
		return own(), nil
	}
	sort.Strings(files)
	var samples []sample
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for at, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
			each, err := parse(line)
			if err != nil || len(samples) > 0 && len(each.x) != len(samples[0].x) {
				return nil, fmt.Errorf("%s:%d: not a line of numbers like the others", file, at+1)
			}
			samples = append(samples, each)
		}
	}
	return samples, nil
}

func parse(line string) (sample, error) {
	var values []float64
	for _, field := range strings.Split(line, ",") {
		value, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil {
			return sample{}, err
		}
		values = append(values, value)
	}
	if len(values) < 2 {
		return sample{}, fmt.Errorf("too few numbers")
	}
	return sample{values[:len(values)-1], values[len(values)-1]}, nil
}

// own is the data of a device without any: proplets whose names end in an odd number see x = 1 and
// 2, the others x = 3 and 4.
func own() []sample {
	first := 1.0
	if id := os.Getenv("FL_PROPLET_ID"); id != "" && (id[len(id)-1]-'0')%2 == 0 {
		first = 3
	}
	return []sample{{[]float64{first}, 2*first + 1}, {[]float64{first + 1}, 2*first + 3}}
}

func number(name string, missing float64) float64 {
	value, err := strconv.ParseFloat(os.Getenv(name), 64)
	if err != nil {
		return missing
	}
	return value
}

func write(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "fl-train:", err)
	os.Exit(1)
}
