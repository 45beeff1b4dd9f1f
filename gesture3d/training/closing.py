"""The end of a run: its best weights evaluated, looked into, reported and summed up."""

from torch.utils.data import DataLoader

from gesture3d import checkpoint
from gesture3d.command_line import how_to_start
from gesture3d.data.batch import Sample
from gesture3d.data.samples import Samples
from gesture3d.evaluation.calibration import calibrate, calibrated, effect, in_words
from gesture3d.evaluation.metrics import compute_metrics
from gesture3d.evaluation.order import ORDERS, reordered
from gesture3d.evaluation.predict import Predictions, predict
from gesture3d.evaluation.predictions import SplitPredictions, write_predictions
from gesture3d.evaluation.spotting import Spotting
from gesture3d.events import NO_GESTURE
from gesture3d.inference.choosing import choose_decision
from gesture3d.inference.stream_predictions import (
    events_of_streams,
    measure_streams,
    scores_of_streams,
)
from gesture3d.models.network import Network
from gesture3d.text import one_line
from gesture3d.training.batches import evaluation_loader, training_loader
from gesture3d.training.loop import Trainer
from gesture3d.training.report import write_report
from gesture3d.training.result import gather_result, write_result
from gesture3d.viz.explain import central_view, explain
from gesture3d.viz.heat_maps import plot_strip


def close(trainer: Trainer, left_out: dict[str, str]) -> None:
    """Evaluate the best weights once more, calibrate them, test whether time matters, write
    predictions, report and result, and say so at the end."""
    log, progress, datasets = trainer.log, trainer.progress, trainer.datasets
    model, _ = checkpoint.load_model(log.best_path)
    model.to(trainer.processes.device)

    def whole(split: Samples) -> DataLoader:
        return evaluation_loader(split, trainer.experiment, trainer.processes, whole=True)

    results, calibration, of_calibration, spotted = {}, None, None, None
    orders = ORDERS[:1] if trainer.streams else ORDERS
    for order in orders if datasets.validation else ():
        batches = reordered(whole(datasets.validation), order)
        found = predict(model, batches, trainer.processes.device)
        if trainer.streams:  # their decision has thresholds of its own
            spotted = _decide_online(found, trainer)
        elif order == ORDERS[0] and not trainer.experiment.data.validate_on_test:
            calibration = calibrate(found, f"{trainer.experiment.data.title}, validation")
            checkpoint.add_calibration(log.best_path, calibration)
            of_calibration = effect(found, calibration)
        found = calibrated(found, calibration)
        results[order] = compute_metrics(found)
        if order == ORDERS[0]:
            where = log.folder / "evaluation-validation" / "predictions.csv"
            write_predictions(where, _named(found, trainer))
    _log_explanations(trainer, model)
    metrics = results.get(ORDERS[0])
    order_top1 = {order: m.top1 for order, m in results.items()}
    report = write_report(
        log,
        trainer.experiment,
        datasets.class_names,
        progress.history,
        progress.best_epoch,
        metrics,
        order_top1,
        in_words(of_calibration) if of_calibration else "",
        left_out,
    )
    splits = {name: getattr(datasets, name) for name in ("train", "validation", "test")}
    batches = whole(datasets.validation or datasets.train)
    if trainer.streams:  # a window of them: whole ones take minutes to count
        batches = training_loader(datasets.train, trainer.experiment, trainer.processes)
    batch = next(iter(batches))
    num_samples = {name: len(split) for name, split in splits.items() if split}
    result = gather_result(model, progress, order_top1, num_samples, batch, trainer.processes)
    events = spotted and spotted.defined()
    write_result(log.folder, result | {"calibration": of_calibration, "events": events})
    shown = ", ".join(f"{order} {top1:.1%}" for order, top1 in order_top1.items())
    kept = trainer.experiment.train.keep
    log.say(f"{kept} epoch {progress.best_epoch + 1}; validation top-1: {shown or 'no split'}")
    if spotted:
        said = ", ".join(f"{name} {value:.3f}" for name, value in spotted.scalars().items())
        log.say(f"events of the validation streams: {said}")
    if of_calibration:
        log.say(f"calibrated: {in_words(of_calibration)}")
    log.say(f"report: {report}")
    log.say(f"use it: {how_to_start('classify', 'CLIP', '--weights', log.best_path)}")


def _decide_online(found: Predictions, trainer: Trainer) -> Spotting:
    """Choose on the validation streams how events are decided, and keep it with the weights: how
    well they are found."""
    data, split = trainer.experiment.data, trainer.datasets.validation
    streams = scores_of_streams(found, trainer.model.step_frames / data.rate_hz)
    truth, names = events_of_streams(split.items), trainer.datasets.class_names
    gestures = [name for name in names if name != NO_GESTURE]
    decision = choose_decision(
        streams,
        truth,
        names,
        gestures,
        data=f"{data.title}, validation",
        measure=data.spotted_by,
    )
    checkpoint.add_online_decision(trainer.log.best_path, decision)
    return measure_streams(streams, truth, decision, names)


def _log_explanations(trainer: Trainer, model: Network, count: int = 3) -> None:
    """Heat maps of a few validation clips, where the network can be explained."""
    validation = trainer.datasets.validation
    if not model.explainable or validation is None or trainer.streams:
        return
    for index in range(0, len(validation), max(len(validation) // count, 1))[:count]:
        sample = validation[index]
        if isinstance(sample, Sample):
            clip = central_view(sample.inputs, trainer.experiment.data)
            explanation = explain(model, clip)
            name = trainer.datasets.class_names[explanation.label]
            figure = plot_strip(explanation, clip.numpy(), f"{sample.key}: {name}")
            trainer.log.writer.add_figure(f"explanation/{one_line(sample.key)}", figure)


def _named(predictions: Predictions, trainer: Trainer) -> SplitPredictions:
    names, data = trainer.datasets.class_names, trainer.experiment.data.title
    return SplitPredictions(**vars(predictions), class_names=names, data=data, split="validation")
