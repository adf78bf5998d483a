"""How radiologists say it: templates and synonyms, as data.

`{side}` is "right", "left" or "bilateral"; `{zone}` a lobe or zone, `{lobe}` the same before a noun; `{grade}` a word of
size; `{base}` "right base". Sentences are written in lower case without a full stop; `reporting` finishes them.
"""

from __future__ import annotations

GRADE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "": (("mild", "slight", "minimal"), ("moderate",), ("severe", "marked", "extensive")),
    "Pleural Effusion": (("small", "trace", "small"), ("moderate", "moderate-sized"), ("large", "massive")),
    "Pneumothorax": (("small", "tiny", "small"), ("moderate", "moderate-sized"), ("large", "large")),
    "Lung Lesion": (
        ("small", "subcentimeter", "1.2 cm"),
        ("2.3 cm", "well-defined", "2 cm"),
        ("large", "4.5 cm", "5 cm"),
    ),
    "Consolidation": (("small focal", "subtle"), ("focal", "moderate"), ("dense", "extensive")),
    "Pneumonia": (("mild", "subtle"), ("multifocal", "moderate"), ("extensive", "severe")),
    "Lung Opacity": (("faint", "subtle"), ("hazy", "moderate"), ("extensive", "large")),
    "Pleural Other": (("mild", "minimal"), ("moderate",), ("marked", "extensive")),
    "Fracture": (("minimally displaced", "two"), ("displaced", "several"), ("multiple displaced", "multiple")),
}

PRESENT: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": (
        "there is {grade} widening of the mediastinum",
        "the mediastinum is {grade_adverb} widened",
        "widened superior mediastinum",
        "the cardiomediastinal silhouette is {grade_adverb} enlarged with a wide upper mediastinum",
        "enlarged cardiomediastinum",
        "{grade} mediastinal widening is seen",
        "the mediastinal contours are {grade_adverb} widened",
    ),
    "Cardiomegaly": (
        "there is {grade} cardiomegaly",
        "the heart is {grade_adverb} enlarged",
        "{grade} enlargement of the cardiac silhouette",
        "heart size is {grade_adverb} enlarged",
        "the cardiac silhouette is {grade_adverb} enlarged",
        "{grade} cardiomegaly is noted",
        "cardiomegaly",
    ),
    "Lung Opacity": (
        "{grade} opacity in the {zone}",
        "there is a {grade} {lobe} opacity",
        "hazy opacity projects over the {zone}",
        "{grade} ground-glass opacity is seen in the {zone}",
        "an ill-defined opacity is present in the {zone}",
        "increased opacification of the {zone}",
    ),
    "Lung Lesion": (
        "a {grade} nodule is seen in the {zone}",
        "{grade} {lobe} pulmonary nodule",
        "there is a {grade} rounded lesion in the {zone}",
        "{grade} lung nodule projecting over the {zone}",
        "a {grade} mass-like lesion is present in the {zone}",
        "{grade} nodular lesion in the {zone}",
    ),
    "Edema": (
        "there is {grade} pulmonary edema",
        "{grade} pulmonary edema",
        "{grade} interstitial edema with indistinct pulmonary vessels",
        "perihilar haziness and vascular indistinctness consistent with {grade} pulmonary edema",
        "{grade} pulmonary vascular congestion with edema",
        "findings are compatible with {grade} pulmonary edema",
    ),
    "Consolidation": (
        "there is {grade} consolidation in the {zone}",
        "{grade} {lobe} consolidation",
        "{lobe} consolidation with air bronchograms",
        "{grade} airspace consolidation is seen in the {zone}",
        "confluent opacity with air bronchograms in the {zone}, consistent with consolidation",
        "the {lobe} is consolidated",
    ),
    "Pneumonia": (
        "patchy opacities in the {zone} are concerning for pneumonia",
        "{grade} {lobe} pneumonia",
        "patchy airspace opacities in the {zone}, compatible with {grade} pneumonia",
        "findings consistent with {lobe} pneumonia",
        "multifocal patchy opacities in the {zone} representing pneumonia",
        "{grade} bronchopneumonia in the {zone}",
    ),
    "Atelectasis": (
        "there is {grade} {side} basilar atelectasis",
        "{grade} atelectasis at the {base}",
        "linear atelectasis at the {base} with elevation of the hemidiaphragm",
        "plate-like atelectasis is seen at the {base}",
        "{side} lower lobe atelectasis with volume loss",
        "{grade} bandlike atelectasis at the {base}",
    ),
    "Pneumothorax": (
        "there is a {grade} {side} pneumothorax",
        "{grade} {side} apical pneumothorax",
        "a {grade} {side}-sided pneumothorax is present",
        "{side} pneumothorax, {grade} in size",
        "a visceral pleural line is seen on the {side}, consistent with a {grade} pneumothorax",
    ),
    "Pleural Effusion": (
        "there is a {grade} {side} pleural effusion",
        "{grade} {side} pleural effusion",
        "{grade} {side} effusion with blunting of the costophrenic angle",
        "a {grade} layering {side} pleural effusion is noted",
        "{side}-sided pleural effusion, {grade} in size",
        "blunting of the {side} costophrenic angle indicates a {grade} pleural effusion",
    ),
    "Pleural Other": (
        "there is {grade} {side} pleural thickening",
        "{grade} {side} apical pleural thickening",
        "{side} pleural thickening along the lateral chest wall",
        "{grade} pleural thickening on the {side}",
        "{side} pleural scarring with thickening",
    ),
    "Fracture": (
        "{grade} {side} rib fractures",
        "there are {grade} fractures of {side} ribs",
        "healing {side} rib fractures with callus formation",
        "{side} posterolateral rib fractures",
        "{grade} {side} rib fractures are seen",
        "fractures of adjacent {side} ribs with callus",
    ),
}  # fmt: skip

DEVICES: dict[str, tuple[str, ...]] = {
    "pacemaker": (
        "left chest wall pacemaker with leads in the right atrium and right ventricle",
        "dual-lead pacemaker is in place",
        "a left-sided pacemaker device is present with intact leads",
        "pacemaker leads in standard position",
        "cardiac pacing device with two leads",
    ),
    "endotracheal tube": (
        "endotracheal tube terminates {cm} cm above the carina and an enteric tube is in place",
        "the ET tube tip is {cm} cm above the carina",
        "endotracheal and nasogastric tubes in standard position",
        "the patient is intubated, tube in appropriate position",
    ),
    "central line": (
        "{side} central venous catheter tip in the lower SVC",
        "{side}-sided central line terminates at the cavoatrial junction",
        "a {side} central venous line is in place",
        "{side} PICC line ends in the mid SVC",
    ),
    "chest tube": (
        "{side} chest tube in place",
        "a {side}-sided chest tube projects towards the apex",
        "{side} thoracostomy tube is present",
        "{side} pleural drain in unchanged position",
    ),
    "sternal wires": (
        "median sternotomy wires are intact",
        "sternotomy wires are present from prior cardiac surgery",
        "intact median sternotomy wires",
    ),
}

# Said in the FINDINGS of what is not there.
ABSENT: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": (
        "the mediastinal contours are normal",
        "no mediastinal widening",
        "mediastinum is not widened",
    ),
    "Cardiomegaly": (
        "heart size is normal",
        "no cardiomegaly",
        "the cardiac silhouette is normal in size",
        "the heart is not enlarged",
    ),
    "Lung Opacity": ("no focal opacity", "the lungs are clear of focal opacities", "no airspace opacity is seen"),
    "Lung Lesion": ("no suspicious nodule or mass", "no pulmonary nodules are seen", "no focal lung lesion"),
    "Edema": (
        "no pulmonary edema",
        "no overt pulmonary edema",
        "pulmonary vasculature is normal",
        "no vascular congestion",
    ),
    "Consolidation": ("no focal consolidation", "there is no consolidation", "no airspace consolidation"),
    "Pneumonia": ("no evidence of pneumonia", "no pneumonia", "no radiographic evidence of acute pneumonia"),
    "Atelectasis": ("no atelectasis", "no evidence of atelectasis or volume loss"),
    "Pneumothorax": (
        "no pneumothorax",
        "there is no pneumothorax",
        "no pneumothorax is seen",
        "no evidence of pneumothorax",
    ),
    "Pleural Effusion": (
        "no pleural effusion",
        "there is no pleural effusion",
        "no effusion",
        "the costophrenic angles are sharp",
    ),
    "Pleural Other": ("no pleural thickening", "no pleural abnormality"),
    "Fracture": (
        "no acute fracture",
        "no rib fracture",
        "the osseous structures are intact",
        "no displaced fracture is seen",
    ),
    "Support Devices": ("no support devices", "no lines or tubes are in place"),
}

ABSENT_PAIRS = {
    ("Pleural Effusion", "Pneumothorax"): (
        "no pleural effusion or pneumothorax",
        "there is no pleural effusion or pneumothorax",
        "no effusion or pneumothorax is seen",
    ),
    ("Consolidation", "Pleural Effusion", "Pneumothorax"): (
        "no focal consolidation, pleural effusion or pneumothorax",
        "there is no focal consolidation, effusion, or pneumothorax",
        "no evidence of consolidation, effusion or pneumothorax",
    ),
    ("Cardiomegaly", "Enlarged Cardiomediastinum"): (
        "the cardiomediastinal silhouette is normal",
        "cardiomediastinal silhouette is within normal limits",
        "heart size and mediastinal contours are normal",
    ),
}

NORMAL_IMPRESSION = (
    "no acute cardiopulmonary process",
    "no acute cardiopulmonary abnormality",
    "normal chest radiograph",
    "no acute intrathoracic process",
    "normal chest",
    "no evidence of acute cardiopulmonary disease",
    "clear lungs, no acute disease",
    "no acute findings",
)
NORMAL_LUNGS = (
    "the lungs are clear",
    "the lungs are well expanded and clear",
    "lungs are clear bilaterally",
    "clear lungs",
)

HEDGES = (
    "possible {x}",
    "possibly {x}",
    "questionable {x}",
    "{x} cannot be excluded",
    "findings may represent {x}",
    "suspected {x}",
    "probable {x}",
)
HEDGED_NAMES: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": ("mediastinal widening", "enlargement of the cardiomediastinal silhouette"),
    "Cardiomegaly": ("mild cardiomegaly", "enlargement of the heart"),
    "Lung Opacity": ("{lobe} opacity", "faint opacity in the {zone}"),
    "Lung Lesion": ("{lobe} nodule", "small {lobe} lung lesion"),
    "Edema": ("mild pulmonary edema", "early interstitial edema"),
    "Consolidation": ("{lobe} consolidation", "early consolidation in the {zone}"),
    "Pneumonia": ("{lobe} pneumonia", "early pneumonia in the {zone}"),
    "Atelectasis": ("{side} basilar atelectasis", "atelectasis at the {base}"),
    "Pneumothorax": ("small {side} pneumothorax", "tiny {side} apical pneumothorax"),
    "Pleural Effusion": ("small {side} pleural effusion", "trace {side} effusion"),
    "Pleural Other": ("{side} pleural thickening",),
    "Fracture": ("{side} rib fractures", "nondisplaced {side} rib fractures"),
}

RESOLVED: dict[str, tuple[str, ...]] = {
    finding: (
        f"previously seen {name} has resolved",
        f"interval resolution of the {name}",
        f"the {name} is no longer seen",
    )
    for finding, name in {
        "Edema": "pulmonary edema",
        "Lung Opacity": "opacity",
        "Consolidation": "consolidation",
        "Pneumonia": "pneumonia",
        "Atelectasis": "atelectasis",
        "Pneumothorax": "pneumothorax",
        "Pleural Effusion": "pleural effusion",
    }.items()
}
CHANGES = {
    "same": ("unchanged", "stable", "not significantly changed", "similar to prior"),
    "better": ("improved", "decreased", "decreased from prior", "improving"),
    "worse": ("worsened", "increased", "increased from prior", "progressed since the prior study"),
    "new": ("new", "new since the prior study", "new from prior"),
}

INDICATIONS = (
    "{age} year old {person} with cough.",
    "{age} year old {person} with shortness of breath, evaluate for acute process.",
    "{age}-year-old {person} with chest pain.",
    "{person} with fever, rule out pneumonia",
    "{age}F/M with dyspnea, evaluate for edema or effusion.",
    "Status post fall. Evaluate for fracture or pneumothorax.",
    "Preoperative evaluation.",
    "Evaluate tube and line placement.",
    "{age} year old {person} with hypoxia.",
    "Follow up.",
)
TECHNIQUES = {
    "pa": ("Frontal view of the chest.", "PA view of the chest.", "Single PA radiograph of the chest."),
    "pa+lateral": (
        "PA and lateral views of the chest.",
        "Chest, frontal and lateral views.",
        "Two views of the chest.",
    ),
    "ap": ("Portable AP view of the chest.", "Single portable AP radiograph.", "AP upright portable chest."),
    "ap_supine": ("Supine portable AP view of the chest.", "Single AP supine radiograph of the chest."),
}
SYNTHETIC_NOTICE = "SYNTHETIC PATIENT. This report was generated by a program and describes a drawn image."
