"""Unlearning metrics as torchmetrics, each named by its registered name."""

from unlearnkit.metrics.base import RowMean, TokenMean, UnlearningMetric
from unlearnkit.metrics.judged import Harmfulness, SemanticSimilarity
from unlearnkit.metrics.likelihood import (
    ExactMemorization,
    ExtractionStrength,
    KLToReference,
    Perplexity,
    Probability,
)
from unlearnkit.metrics.membership import MembershipAUC, MembershipTPR, PrivLeak
from unlearnkit.metrics.text import (
    Bleu,
    DistinctN,
    KnowledgeMemorization,
    LeakRate,
    RefusalRate,
    RepetitionRate,
    Rouge,
    VerbatimMemorization,
)
from unlearnkit.metrics.truth import (
    ForgetQuality,
    ModelUtility,
    ProbabilityWithOptions,
    TruthRatio,
)

__all__ = [
    "Bleu",
    "DistinctN",
    "ExactMemorization",
    "ExtractionStrength",
    "ForgetQuality",
    "Harmfulness",
    "KLToReference",
    "KnowledgeMemorization",
    "LeakRate",
    "MembershipAUC",
    "MembershipTPR",
    "ModelUtility",
    "Perplexity",
    "PrivLeak",
    "Probability",
    "ProbabilityWithOptions",
    "RefusalRate",
    "RepetitionRate",
    "Rouge",
    "RowMean",
    "SemanticSimilarity",
    "TokenMean",
    "TruthRatio",
    "UnlearningMetric",
    "VerbatimMemorization",
]
